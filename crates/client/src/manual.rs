//! `rarest completions` and `rarest man`: made from the flags, so that they are never behind them.

use std::io::{self, Write as _};

use anyhow::Result;
use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::Outcome;
use crate::args::Cli;

/// Prints the completions for a shell.
pub(crate) fn print_completions(shell: Shell) -> Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "rarest", &mut script);
    io::stdout().write_all(&script)?;
    Ok(Outcome::Done)
}

/// Prints the manual page in roff, each command a section.
pub(crate) fn print_page() -> Result<Outcome> {
    let mut command = Cli::command();
    command.build();
    let mut page = Vec::new();
    let main = clap_mangen::Man::new(command.clone());
    // Without the section of commands, which refers to a page for each.
    main.render_title(&mut page)?;
    main.render_name_section(&mut page)?;
    main.render_synopsis_section(&mut page)?;
    main.render_description_section(&mut page)?;
    main.render_options_section(&mut page)?;
    for command in command
        .get_subcommands()
        .filter(|command| command.get_name() != "help")
    {
        let section = clap_mangen::Man::new(command.clone());
        writeln!(page, ".SH \"RAREST {}\"", command.get_name().to_uppercase())?;
        section.render_description_section(&mut page)?;
        section.render_synopsis_section(&mut page)?;
        section.render_options_section(&mut page)?;
    }
    main.render_extra_section(&mut page)?;
    main.render_version_section(&mut page)?;
    io::stdout().write_all(&page)?;
    Ok(Outcome::Done)
}
