//! Stories of one torrent, told through its public surface in virtual time.

mod choking;
mod connecting;
mod corruption;
mod downloading;
mod endgame;
mod stage;
mod storing;
mod wanting;
