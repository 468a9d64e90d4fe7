//! Bars that fit a terminal of any width, and the one for work on files: hashing, verifying.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::quantity::{ByteCount, duration};

/// A bar on standard error for work on files; shown only on a terminal.
#[derive(Debug)]
pub(crate) struct ByteBar {
    what: &'static str,
    bar: ProgressBar,
}

impl ByteBar {
    pub(crate) fn new(what: &'static str) -> Self {
        // Standard error that is no terminal hides it.
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        bar.set_style(bar_style());
        Self { what, bar }
    }

    pub(crate) fn set(&self, done: u64, total: u64) {
        if self.bar.is_hidden() {
            return;
        }
        self.bar.set_length(total);
        self.bar.set_position(done.min(total));
        self.bar.set_message(text(
            self.what,
            done.min(total),
            total,
            self.bar.per_sec(),
            self.bar.eta(),
        ));
    }

    pub(crate) fn finish(self) {
        self.bar.finish_and_clear();
    }
}

fn text(what: &str, done: u64, total: u64, rate: f64, left: std::time::Duration) -> String {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "figures for people"
    )]
    let (percent, rate) = (done as f64 / total.max(1) as f64 * 100.0, rate as u64);
    format!(
        "{what}, {percent:.0} %, {}/s, {} to go",
        ByteCount(rate),
        duration(left)
    )
}

/// The style of all bars. What does not fit is cut off: a line that is wrapped is drawn anew and anew below itself.
pub(crate) fn bar_style() -> ProgressStyle {
    ProgressStyle::with_template("{bar:16} {wide_msg}")
        .expect("the template is a text of this program, and a test draws it")
        .progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use indicatif::TermLike;

    use super::*;

    /// Thirty columns; keeps what is written there.
    #[derive(Clone, Debug, Default)]
    struct Narrow(Arc<Mutex<String>>);

    impl TermLike for Narrow {
        fn width(&self) -> u16 {
            30
        }

        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push_str(text);
            Ok(())
        }

        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(text)
        }

        fn move_cursor_up(&self, _lines: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_down(&self, _lines: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_right(&self, _columns: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_left(&self, _columns: usize) -> io::Result<()> {
            Ok(())
        }

        fn clear_line(&self) -> io::Result<()> {
            self.0.lock().unwrap().clear();
            Ok(())
        }

        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_narrow_terminal_cuts_the_line_off() {
        let terminal = Narrow::default();
        let target = ProgressDrawTarget::term_like(Box::new(terminal.clone()));
        let bar = ProgressBar::with_draw_target(Some(100), target);
        bar.set_style(bar_style());
        bar.set_position(50);
        bar.set_message(text("hashing", 50, 100, 10.0, Duration::from_secs(5)));
        bar.tick();
        let drawn = terminal.0.lock().unwrap().clone();
        assert_eq!(drawn.trim_end(), "========>        hashing, 50 %");
    }
}
