//! A bar for work on files: hashing, verifying.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar on standard error for work on files; shown only on a terminal.
#[derive(Debug)]
pub(crate) struct ByteBar(ProgressBar);

impl ByteBar {
    pub(crate) fn new(what: &'static str) -> Self {
        // Standard error that is no terminal hides it.
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        bar.set_style(bar_style(
            "{msg} {wide_bar} {percent:>3} %, {binary_bytes_per_sec}, {eta} to go",
        ));
        bar.set_message(what);
        Self(bar)
    }

    pub(crate) fn set(&self, done: u64, total: u64) {
        self.0.set_length(total);
        self.0.set_position(done.min(total));
    }

    pub(crate) fn finish(self) {
        self.0.finish_and_clear();
    }
}

/// The style of all bars, with this content.
pub(crate) fn bar_style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .expect("templates are texts of this program, and tests draw each")
        .progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_can_be_drawn() {
        ByteBar::new("hashing").set(1, 2);
    }
}
