//! The web server of a row: nginx with the payload's files, and a way to them that redirects.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::port;
use super::process::{Deadline, Process};

/// How long nginx may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// nginx, which serves a folder.
#[derive(Debug)]
pub(crate) struct WebServer {
    port: u16,
    _process: Process,
}

impl WebServer {
    /// Serves `files` from `folder`, which keeps settings and logs.
    pub(crate) fn start(folder: &Path, files: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let port = port::free();
        let (place, files) = (folder.display(), files.display());
        let configuration = format!(
            "daemon off; master_process off; user root; pid {place}/nginx.pid; error_log {place}/nginx-error.log;\n\
             events {{}}\n\
             http {{\n\
             access_log {place}/nginx-access.log;\n\
             client_body_temp_path {place}/body; proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/fastcgi;\n\
             uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;\n\
             server {{ listen 127.0.0.1:{port};\n\
             location /files/ {{ alias {files}/; }}\n\
             location /moved/ {{ rewrite ^/moved/(.*)$ /files/$1 redirect; }} }}\n\
             }}\n"
        );
        let path = folder.join("nginx.conf");
        fs::write(&path, configuration)?;
        let mut command = Command::new("nginx");
        command.arg("-p").arg(folder).arg("-c").arg(&path);
        command.arg("-e").arg(folder.join("nginx-error.log"));
        let mut process = Process::start("nginx", folder, &command)?;
        Deadline::after(START_TIMEOUT).until("nginx listens", || {
            process.expect_running()?;
            Ok(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok())
        })?;
        Ok(Self {
            port,
            _process: process,
        })
    }

    /// The URL of the files by this way.
    pub(crate) fn url(&self, way: Way) -> String {
        let name = match way {
            Way::Straight => "files",
            Way::Redirected => "moved",
        };
        format!("http://127.0.0.1:{}/{name}/", self.port)
    }
}

/// How the files are reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// They are there.
    Straight,
    /// The server names another place.
    Redirected,
}
