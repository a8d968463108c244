//! Typing at the shell, well and badly.

use super::*;
use proptest::prelude::*;

#[derive(Default)]
struct Fake {
    ran: Vec<(String, String)>,
    reboots: u32,
}

impl Commands for Fake {
    fn table(&self) -> &[Command] {
        &[Command {
            name: "vgpu",
            arguments: "N",
            help: "show one vGPU",
        }]
    }

    fn run(&mut self, name: &str, arguments: &str, out: &mut dyn Write) -> fmt::Result {
        self.ran.push((name.into(), arguments.into()));
        writeln!(out, "ran")
    }

    fn status(&mut self, out: &mut dyn Write) -> fmt::Result {
        writeln!(out, "all well")
    }

    fn reboot(&mut self) {
        self.reboots += 1;
    }
}

/// What the terminal shows after these bytes, and what was asked of the commands.
fn typed(bytes: &[u8]) -> (String, Fake) {
    let (mut shell, mut commands, mut out) = (Shell::new(), Fake::default(), String::new());
    for &byte in bytes {
        shell.feed(byte, &mut commands, &mut out).unwrap();
    }
    (out, commands)
}

#[test]
fn a_command_is_echoed_run_and_prompted_after() {
    assert_eq!(typed(b"status\r").0, "status\nall well\n> ");
}

#[test]
fn commands_of_the_table_get_their_arguments_trimmed() {
    let (out, commands) = typed(b"  vgpu   3 4  \n");
    assert_eq!(commands.ran, [("vgpu".into(), "3 4".into())]);
    assert!(out.ends_with("ran\n> "), "{out}");
}

#[test]
fn help_lists_built_in_and_added_commands() {
    let (out, _) = typed(b"help\r");
    for name in ["help", "log", "recent", "reboot", "status", "vgpu"] {
        assert!(
            out.contains(&format!("\n  {name} ")),
            "{name} missing in {out}"
        );
    }
}

#[test]
fn an_unknown_command_is_named() {
    assert!(typed(b"vgpux 1\r").0.contains("vgpux: no such command"));
}

#[test]
fn backspace_and_control_u_take_back_what_was_typed() {
    let (out, commands) = typed(b"x\x08vgpu 12\x7f\r");
    assert_eq!(commands.ran, [("vgpu".into(), "1".into())]);
    assert!(out.starts_with("x\x08 \x08v"), "{out:?}");
    let (_, commands) = typed(b"reboot\x15vgpu 1\r");
    assert_eq!((commands.reboots, commands.ran.len()), (0, 1));
}

#[test]
fn backspace_on_an_empty_line_moves_nothing() {
    assert_eq!(typed(b"\x08\x7f\x15").0, "");
}

#[test]
fn return_with_line_feed_is_one_end() {
    assert_eq!(typed(b"reboot\r\n\r\n").1.reboots, 1);
    assert_eq!(typed(b"reboot\n").1.reboots, 1);
    assert_eq!(typed(b"\r\n").0, "\n> ");
}

#[test]
fn control_c_abandons_the_line() {
    let (out, commands) = typed(b"reboot\x03\r");
    assert_eq!(commands.reboots, 0);
    assert_eq!(out, "reboot^C\n> \n> ");
}

#[test]
fn arrow_keys_leave_no_letters_behind() {
    let (_, commands) = typed(b"\x1b[Avgpu\x1b[1;5C 1\x1bOB\r");
    assert_eq!(commands.ran, [("vgpu".into(), "1".into())]);
}

#[test]
fn a_line_that_is_too_long_rings_the_bell_and_keeps_its_start() {
    let (out, _) = typed(&[b'x'; LIMIT + 2]);
    assert_eq!(out, "x".repeat(LIMIT) + BELL + BELL);
}

#[test]
fn the_level_is_shown_and_changed_and_a_bad_one_named() {
    assert!(typed(b"log debug\r").0.contains("\nlog: debug\n"));
    assert_eq!(log::max_level(), LevelFilter::Debug);
    assert!(typed(b"log\r").0.contains("\nlog: debug\n"));
    assert!(
        typed(b"log loud\r")
            .0
            .contains("error, warn, info, debug or trace")
    );
}

#[test]
fn recent_wants_a_number() {
    assert!(
        typed(b"recent many\r")
            .0
            .contains("how many lines is \"many\"?")
    );
}

proptest! {
    #[test]
    fn any_bytes_are_survived_and_the_line_stays_bounded(
        bytes in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let (mut shell, mut commands, mut out) = (Shell::new(), Fake::default(), String::new());
        for byte in bytes {
            shell.feed(byte, &mut commands, &mut out).unwrap();
            prop_assert!(shell.line.len() <= LIMIT);
            prop_assert!(!shell.line.contains(char::is_control));
        }
    }
}
