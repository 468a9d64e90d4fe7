//! How much the files of a torrent are wanted.

use rarest_swarm::Priority;

/// How much a file is wanted. Pieces of a file of higher priority are begun before those of the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FilePriority {
    /// Not at all: nothing of it is downloaded but what shares a piece with a wanted file, and the file is not created.
    Skip,
    /// When nothing better is to be had.
    Low,
    /// Like all files, unless told otherwise.
    #[default]
    Normal,
    /// First.
    High,
}

impl FilePriority {
    /// The priority of the file's pieces.
    pub(crate) fn of_pieces(self) -> Priority {
        match self {
            Self::Skip => Priority::Off,
            Self::Low => Priority::Low,
            Self::Normal => Priority::Normal,
            Self::High => Priority::High,
        }
    }
}
