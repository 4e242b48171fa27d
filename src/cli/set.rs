//! `--set NAME=VALUE`: settings on the command line.

use clap::{Arg, ArgAction, ArgMatches, Command};

const SET: &str = "set";

/// Adds the option to a command and to those below it. Each has one of its own: of one that is `global`, clap forgets what
/// stands before a command where some stands behind it.
pub(super) fn add(command: Command) -> Command {
    let set = Arg::new(SET)
        .long(SET)
        .value_name("NAME=VALUE")
        .help(
            "A setting, by its name in the file; may be given several times. Whoever lists processes sees it",
        )
        .value_parser(setting)
        .action(ArgAction::Append);
    command.arg(set).mut_subcommands(add)
}

/// The settings that were given, in order.
pub(super) fn given(matches: &ArgMatches) -> Vec<(String, String)> {
    let own = matches.get_many(SET).unwrap_or_default().cloned();
    let below = matches.subcommand().map(|(_, below)| given(below)).unwrap_or_default();
    own.chain(below).collect()
}

fn setting(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("is not like relay_mode=low-latency")?;
    Ok((name.to_owned(), value.to_owned()))
}
