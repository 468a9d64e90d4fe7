//! Web seeds as their drivers see them: a server is played by the test.
#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

mod answers;
mod any_input;
mod any_server;
mod heads;
mod locations;
mod ranges;
mod stage;
