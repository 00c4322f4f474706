//! The binary: picks the role, makes the real clock and ids, and is the only place that reads the environment.
//!
//! `keeper` and `sample` come first and pay for nothing: a keeper stands beside every process that was started, and no
//! command line is parsed, no thread started and no certificate read for it.

mod agent;
mod called;
mod cli;
mod client;
mod cmd;
mod complete;
mod demo;
mod failure;
mod guide;
mod in_container;
mod load;
mod properties;
mod render;
mod sample;
mod serve;
mod shell;
mod spelling;
mod surroundings;
mod targets;
mod world;

use std::{ffi::OsString, process::ExitCode};

use render::Output;
use surroundings::Surroundings;

fn main() -> ExitCode {
    let mut args: Vec<OsString> = std::env::args_os().collect();
    match args.get(1).and_then(|word| word.to_str()) {
        Some("keeper") => return skipper_platform::keeper::main(args.split_off(2)),
        Some("sample") => return sample::run(args.split_off(2)),
        _ => {}
    }
    let is_slip = called::is_slip(&args);
    args = called::translated(args);
    let working_dir = std::env::current_dir().unwrap_or_default();
    let mut surroundings = Surroundings::new(std::env::vars_os(), working_dir);
    surroundings.is_slip = is_slip;
    // Whoever speaks TLS takes the one provider there is; having two would be an error at first use.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match complete::answered(&surroundings, &args) {
        Ok(false) => {}
        Ok(true) => return ExitCode::SUCCESS,
        Err(error) => error.exit(),
    }
    let parsed = match cli::parse(args) {
        Ok(parsed) => parsed,
        Err(error) => {
            // Help goes to standard output and may meet a closed pipe; usage errors end with 2.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    if let Some(command) = parsed.command.as_ref().filter(|command| command.stays())
        && let Err(failure) = in_container::prepare(&surroundings, matches!(command, cmd::Command::Server(_)))
    {
        failure.print();
        return failure.exit.into();
    }
    let out = Output::new(&surroundings, parsed.json, parsed.colour, parsed.quiet);
    let context = cmd::Context::new(surroundings, out, parsed.connection);
    match parsed.command {
        Some(command) => command.run(&context),
        None => cmd::welcome(&context),
    }
}
