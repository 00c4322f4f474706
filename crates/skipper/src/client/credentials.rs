use std::{process::Stdio, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::header::HeaderValue;
use tokio::io::AsyncReadExt as _;

use crate::{shell::Words, targets::Credentials};

/// Longest that a credentials command may take: it may ask a server of its own, and a person waits.
const WITHIN: Duration = Duration::from_secs(30);
/// Most that is read of what it prints. Tokens have some kilobytes.
const MOST: u64 = 64 << 10;

/// The value of the `Authorization` header. A command is run anew for each request, because what it prints may expire.
///
/// # Errors
///
/// Why the command gave nothing to use, as a sentence.
pub(super) async fn authorization(credentials: &Credentials) -> Result<HeaderValue, String> {
    let text = match credentials {
        Credentials::Token(token) => format!("Bearer {token}"),
        Credentials::Basic { username, password } => {
            format!("Basic {}", STANDARD.encode(format!("{username}:{password}")))
        }
        Credentials::Command(command) => printed(command, WITHIN).await?,
    };
    let mut value = HeaderValue::try_from(text).map_err(|_| "what lets us in cannot be sent as a header".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

/// What a command prints, without the blanks around it.
///
/// # Cancel safety
///
/// Safe to drop: the command is killed.
async fn printed(command: &str, within: Duration) -> Result<String, String> {
    let words = Words::of(command).texts();
    let (program, args) = words.split_first().ok_or("the credentials command is empty")?;
    let failed = |why: &str| format!("the credentials command `{program}` {why}");
    let mut child = tokio::process::Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(&format!("cannot be run: {error}")))?;
    let output = child.stdout.take().ok_or_else(|| failed("has no output"))?;
    let mut text = Vec::new();
    let ended = tokio::time::timeout(within, async {
        output.take(MOST + 1).read_to_end(&mut text).await?;
        if text.len() as u64 > MOST {
            return Ok(None);
        }
        child.wait().await.map(Some)
    });
    match ended.await {
        Err(_) => return Err(failed(&format!("took longer than {} s", within.as_secs()))),
        Ok(Err(error)) => return Err(failed(&format!("cannot be read: {error}"))),
        Ok(Ok(None)) => return Err(failed(&format!("printed more than {} KiB", MOST >> 10))),
        Ok(Ok(Some(status))) if !status.success() => return Err(failed(&format!("failed ({status})"))),
        Ok(Ok(Some(_))) => {}
    }
    let text = String::from_utf8(text).map_err(|_| failed("printed something that is no text"))?;
    match text.trim() {
        "" => Err(failed("printed nothing")),
        text if text.contains(char::is_control) => Err(failed("printed more than one line")),
        text => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_command_prints_is_sent_as_it_is() {
        let value = authorization(&Credentials::Command("echo 'bearer  xyz '".into())).await.expect("prints");
        assert_eq!(value, "bearer  xyz");
        assert!(value.is_sensitive());
    }

    #[tokio::test]
    async fn a_name_and_a_password_are_sent_as_basic() {
        let credentials = Credentials::Basic { username: "ann".into(), password: "a:b".into() };
        assert_eq!(authorization(&credentials).await.expect("is representable"), "Basic YW5uOmE6Yg==");
    }

    #[tokio::test]
    async fn a_command_that_gives_nothing_to_use_says_why() {
        for (command, why) in [
            ("", "empty"),
            ("/nowhere/at-all", "cannot be run"),
            ("false", "failed"),
            ("true", "printed nothing"),
            ("printf 'a\\nb'", "more than one line"),
            ("head -c 70000 /dev/zero", "more than 64 KiB"),
        ] {
            let told = printed(command, WITHIN).await.expect_err(command);
            assert!(told.contains(why), "{command}: {told}");
        }
        let told = printed("sleep 60", Duration::from_millis(20)).await.expect_err("it takes long");
        assert!(told.contains("longer"), "{told}");
    }
}
