//! How trackers are spoken to, as seen from outside.

mod schedule;
