//! A reverse proxy in front of the gateway, which keeps its connections to it open: a real nginx.
use std::{
    fs,
    net::TcpStream,
    process::{Child, Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::host::{Error, Host, eventually};

const PORT: u16 = 18_080;

/// Ended when dropped.
pub(crate) struct Proxy {
    process: Child,
    _folder: tempfile::TempDir,
}

impl Proxy {
    /// Starts it with one connection to the gateway that all callers share.
    pub(crate) fn start(host: &Host) -> Result<Self, Error> {
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name).display().to_string();
        let config = format!(
            "daemon off;\nmaster_process off;\npid {pid};\nerror_log stderr;\nevents {{}}\nhttp {{\n\
             access_log off;\nclient_body_temp_path {body};\nproxy_temp_path {proxy};\n\
             fastcgi_temp_path {proxy};\nuwsgi_temp_path {proxy};\nscgi_temp_path {proxy};\n\
             upstream gateway {{ server 127.0.0.1:{gateway}; keepalive 1; keepalive_timeout 60s; }}\n\
             server {{\nlisten 127.0.0.1:{PORT};\nlocation / {{\nproxy_pass http://gateway;\n\
             proxy_http_version 1.1;\nproxy_set_header Connection \"\";\n}}\n}}\n}}\n",
            pid = path("pid"),
            body = path("body"),
            proxy = path("proxy"),
            gateway = host.port,
        );
        let file = folder.path().join("nginx.conf");
        fs::write(&file, config)?;
        let process = Command::new("/usr/sbin/nginx")
            .arg("-c")
            .arg(&file)
            .arg("-p")
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        let proxy = Self {
            process,
            _folder: folder,
        };
        eventually("the proxy to listen", || {
            Ok(TcpStream::connect(proxy.address()).is_ok())
        })?;
        Ok(proxy)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> (&'static str, u16) {
        ("127.0.0.1", PORT)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.process.id()) {
            // It may have ended by itself.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let _ = self.process.wait();
    }
}
