//! `rsfaas inspect`: what a sealed file tells without the key.
use serde::Serialize;

use super::{
    exit::{Exit, Failure},
    output,
    target::Target,
};
use crate::seal::{file::SealedFile, header::Header};

/// Show what is known of a sealed handler without its key.
///
/// The header is shown as it is; only opening the file with its key proves that it is genuine.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    target: Target,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// What there is to tell; the JSON form's field names are a promise.
#[derive(Serialize)]
struct Facts {
    /// Where the file is.
    path: String,
    /// Version of the format.
    version: u16,
    /// The function that it belongs to.
    function: String,
    /// Key that opens it, as hexadecimal.
    key_id: String,
    /// When it was sealed, RFC 3339 in UTC.
    sealed_at: String,
    /// When it was sealed, in seconds since 1970.
    sealed_at_unix: u64,
    /// Bytes of the archive inside.
    plaintext_bytes: u64,
    /// Bytes of the file.
    file_bytes: u64,
    /// Whether the file is as long as its header says.
    complete: bool,
    /// Fresh with each sealing, as hexadecimal.
    salt: String,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let file = args.target.find()?.file;
    let length = file
        .path()
        .metadata()
        .map_err(|error| Failure::io(file.path().display(), &error));
    let facts = Facts::new(&file, &file.header()?, length?.len());
    let text = if args.json {
        serde_json::to_string(&facts).map_err(|error| Failure::new(Exit::Unexpected, error))? + "\n"
    } else {
        facts.to_text()
    };
    output::text(&text)?;
    if facts.complete {
        return Ok(());
    }
    let message = format!(
        "{} is damaged: its length is not what its header says",
        facts.path
    );
    Err(Failure::new(Exit::NotSealed, message))
}

impl Facts {
    fn new(file: &SealedFile, header: &Header, file_bytes: u64) -> Self {
        Self {
            path: file.path().display().to_string(),
            version: header.version(),
            function: header.name().to_owned(),
            key_id: header.key_id().to_string(),
            sealed_at: rfc3339(header.sealed_at()),
            sealed_at_unix: header.sealed_at(),
            plaintext_bytes: header.plaintext_len(),
            file_bytes,
            complete: header.sealed_len() == Some(file_bytes),
            salt: header
                .salt()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        }
    }

    fn to_text(&self) -> String {
        format!(
            "path       {}\nfunction   {}\nversion    {}\nkey ID     {}\nsealed at  {}\n\
             plaintext  {} bytes\nfile       {} bytes\nsalt       {}\n",
            self.path,
            self.function,
            self.version,
            self.key_id,
            self.sealed_at,
            self.plaintext_bytes,
            self.file_bytes,
            self.salt,
        )
    }
}

/// Seconds since 1970 as a date and time in UTC.
fn rfc3339(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Years that begin in March have their leap day at the end; 400 of them have 146,097 days.
    let since_march_0000 = days + 719_468;
    let (era, day) = (since_march_0000 / 146_097, since_march_0000 % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_utc() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_799, "2000-02-29T23:59:59Z"),
            (1_700_000_000, "2023-11-14T22:13:20Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds), text);
        }
    }

    #[test]
    fn any_time_in_a_header_can_be_told() {
        assert!(rfc3339(u64::MAX).ends_with('Z'));
    }
}
