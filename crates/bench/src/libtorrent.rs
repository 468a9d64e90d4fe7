//! libtorrent's `bdecode`, which is C++: a child process that times itself.

use std::env;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// The program, compiled for this run.
#[derive(Debug)]
pub struct Libtorrent {
    folder: PathBuf,
}

impl Libtorrent {
    /// Compiles the program; `None`, and a line that says so, where a C++ compiler or libtorrent's headers are missing.
    ///
    /// # Errors
    /// When the folder for it cannot be made.
    pub fn compile() -> io::Result<Option<Self>> {
        let folder = env::temp_dir().join(format!("rarest-bench-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let this = Self { folder };
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/libtorrent.cpp");
        let compiled = Command::new("c++")
            .args(["-std=c++17", "-O3", "-o"])
            .arg(this.program())
            .arg(source)
            .arg("-ltorrent-rasterbar")
            .stderr(Stdio::null())
            .status();
        if compiled.is_ok_and(|status| status.success()) {
            return Ok(Some(this));
        }
        eprintln!("libtorrent is left out: it needs c++ and libtorrent-rasterbar-dev");
        Ok(None)
    }

    fn program(&self) -> PathBuf {
        self.folder.join("libtorrent")
    }

    /// Starts it for one input; gives what runs it as often as told, and says how long that took.
    ///
    /// # Errors
    /// When the input cannot be written or the program not started.
    ///
    /// # Panics
    /// What it gives panics when libtorrent refuses the input.
    pub fn decoding(&self, input: &[u8]) -> io::Result<impl FnMut(u32) -> Duration + use<>> {
        let file = self.folder.join("input");
        fs::write(&file, input)?;
        let mut decoding = Decoding::start(&self.program(), &file)?;
        // The answer shows that the program has read the file, which the next input may then replace.
        decoding.run(0)?;
        Ok(move |runs| {
            decoding
                .run(runs)
                .expect("libtorrent decodes what we encoded")
        })
    }
}

impl Drop for Libtorrent {
    fn drop(&mut self) {
        // What is left lies in the folder for temporary files.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

struct Decoding {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Decoding {
    fn start(program: &Path, input: &Path) -> io::Result<Self> {
        let mut child = Command::new(program)
            .arg(input)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let orders = child.stdin.take().expect("it is piped");
        let answers = BufReader::new(child.stdout.take().expect("it is piped"));
        Ok(Self {
            child,
            orders,
            answers,
        })
    }

    fn run(&mut self, runs: u32) -> io::Result<Duration> {
        writeln!(self.orders, "{runs}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        let nanos = answer.trim().parse().map_err(io::Error::other)?;
        Ok(Duration::from_nanos(nanos))
    }
}

impl Drop for Decoding {
    fn drop(&mut self) {
        // It waits for orders and holds nothing: whether it could be ended does not matter.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
