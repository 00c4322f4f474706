use super::Context;
use crate::{
    complete,
    failure::{Doing as _, Done},
};

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
  bash:  echo 'source <(skipper completions bash)' >> ~/.bashrc
  zsh:   echo 'source <(skipper completions zsh)' >> ~/.zshrc
  fish:  skipper completions fish > ~/.config/fish/completions/skipper.fish
Names of releases, revisions, packages and platforms are asked from the server while you type.")]
pub(crate) struct Completions {
    /// Your shell
    #[arg(value_name = "SHELL", value_parser = ["bash", "zsh", "fish", "elvish", "powershell"])]
    shell: String,
}

impl Completions {
    pub(super) fn run(self, context: &Context) -> Done {
        // The name alone, so that the script outlives a move of the binary.
        let script = complete::registration(&self.shell, "skipper").doing(|| "write the script".to_owned())?;
        context.out.text(&script)
    }
}
