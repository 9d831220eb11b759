//! A call of a function through the gateway, by plain curl.

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

use super::PATIENCE;
use crate::{error::Error, process::feed, testbed::Testbed};

pub(crate) struct Call {
    url: String,
    body: String,
    key: Option<String>,
}

pub(crate) struct Answer {
    status: u16,
    body: String,
    milliseconds: f64,
}

impl Call {
    pub(crate) fn of(testbed: &Testbed, function: &str, body: &str) -> Self {
        Self::at(testbed, &format!("function/{function}"), body)
    }

    /// Of any path.
    pub(crate) fn at(testbed: &Testbed, path: &str, body: &str) -> Self {
        let url = format!("{}/{path}", testbed.gateway);
        Self {
            url,
            body: body.to_owned(),
            key: None,
        }
    }

    pub(crate) fn key(self, key: &str) -> Self {
        Self {
            key: Some(key.to_owned()),
            ..self
        }
    }

    /// Calls. The key goes through curl's standard input, since arguments are seen by everybody.
    pub(crate) fn run(&self) -> Result<Answer, Error> {
        let mut command = Command::new("curl");
        command.args(["-sS", "--max-time", "120", "-d", &self.body]);
        command.args(["-w", "\n%{http_code} %{time_total}", "-H", "@-", &self.url]);
        let header = self
            .key
            .as_ref()
            .map_or_else(String::new, |key| format!("X-RsFaaS-Key: {key}\n"));
        let text = feed(&mut command, header.as_bytes())?;
        let unexpected = || Error::NotSeen(format!("an answer, but curl wrote {text:?}"));
        let (body, figures) = text.rsplit_once('\n').ok_or_else(unexpected)?;
        let (status, seconds) = figures.split_once(' ').ok_or_else(unexpected)?;
        Ok(Answer {
            status: status.parse().map_err(|_| unexpected())?,
            body: body.trim().to_owned(),
            milliseconds: seconds.parse::<f64>().map_err(|_| unexpected())? * 1e3,
        })
    }

    /// Calls a function that has just been deployed, until it gives an answer with this part.
    ///
    /// # Errors
    /// When it does not in time.
    pub(crate) fn until_answered(&self, part: &str) -> Result<(), Error> {
        let start = Instant::now();
        while !self.run().is_ok_and(|answer| answer.is(200, part)) {
            if start.elapsed() > PATIENCE {
                let what = format!("{part:?} from {} after a deployment", self.url);
                return Err(Error::NotSeen(what));
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

impl Answer {
    pub(crate) fn show(&self) {
        println!(
            "{} in {:.1} ms: {}",
            self.status, self.milliseconds, self.body
        );
    }

    /// How long it took, in milliseconds.
    pub(crate) fn milliseconds(&self) -> f64 {
        self.milliseconds
    }

    /// Fails unless the answer has this status and contains this text.
    pub(crate) fn expect(&self, status: u16, part: &str) -> Result<(), Error> {
        if self.status == status && self.body.contains(part) {
            return Ok(());
        }
        Err(Error::NotSeen(format!(
            "{status} with {part:?}, but {} with {:?}",
            self.status, self.body
        )))
    }

    pub(crate) fn is(&self, status: u16, part: &str) -> bool {
        self.status == status && self.body.contains(part)
    }
}
