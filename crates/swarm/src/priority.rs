//! How much the user wants a piece.

/// How much a piece is wanted. Pieces of a higher priority are begun before all pieces of a lower one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Not wanted: never requested.
    Off,
    /// Wanted when nothing better is to be had.
    Low,
    /// What pieces have unless told otherwise.
    #[default]
    Normal,
    /// Wanted first.
    High,
}
