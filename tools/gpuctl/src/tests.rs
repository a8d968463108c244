//! Whole commands against a Xenstore in this process, with a scripted service domain.

use core::time::Duration;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::{io, thread};

use crate::error::{Error, Result};
use crate::toolstack::Toolstack;
use crate::xenstore::Xenstore;
use crate::{arguments, run};

type Tree = BTreeMap<String, Vec<u8>>;
type Hook = Box<dyn FnMut(&mut Tree, &str, &[u8]) + Send>;

const SERVICE: u32 = 3;
const GUEST: u32 = 7;
const STATE: &str = "/local/domain/3/data/gpu/vgpu/7/state";
const REASON: &str = "/local/domain/3/data/gpu/vgpu/7/reason";

/// A Xenstore with a ready service domain d3 and a paused HVM guest d7.
fn tree() -> Tree {
    [
        ("/local/domain/0/name", "Domain-0"),
        ("/local/domain/3/name", "gpu-service"),
        ("/local/domain/3/data/gpu/state", "ready"),
        ("/local/domain/3/data/gpu/version", "0.1.0"),
        ("/local/domain/3/data/gpu/free-low-gm", "64"),
        ("/local/domain/3/data/gpu/free-high-gm", "128"),
        ("/local/domain/3/data/gpu/free-fences", "28"),
        ("/local/domain/7/name", "h1"),
        ("/libxl/7/type", "hvm"),
        ("@releaseDomain", "n0\0"),
    ]
    .map(|(path, value)| (path.to_owned(), value.as_bytes().to_vec()))
    .into()
}

/// Serves one connection; `hook` sees every write, as a service domain's watch would.
fn serve(mut stream: UnixStream, tree: &Mutex<Tree>, mut hook: Hook) -> io::Result<()> {
    let mut watches: Vec<String> = Vec::new();
    loop {
        let mut header = [[0; 4]; 4];
        for word in &mut header {
            stream.read_exact(word)?;
        }
        let [kind, request, _, length] = header.map(u32::from_le_bytes);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload)?;
        let mut parts = payload.splitn(2, |byte| *byte == 0);
        let path = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
        let rest = parts.next().unwrap_or_default().to_vec();

        let mut tree = tree.lock().unwrap();
        let before = tree.clone();
        let answer = match kind {
            1 => {
                let below = format!("{path}/");
                let mut names: Vec<_> = tree
                    .keys()
                    .filter_map(|key| key.strip_prefix(&below)?.split('/').next())
                    .collect();
                names.dedup();
                match names.is_empty() {
                    true => None,
                    false => Some(
                        names
                            .iter()
                            .flat_map(|name| [name, "\0"])
                            .collect::<String>()
                            .into_bytes(),
                    ),
                }
            }
            2 | 3 => tree.get(&path).cloned(),
            4 => {
                watches.push(path.clone());
                Some(b"OK\0".to_vec())
            }
            5 => {
                watches.retain(|watch| *watch != path);
                Some(b"OK\0".to_vec())
            }
            11 => {
                tree.insert(path.clone(), rest.clone());
                hook(&mut tree, &path, &rest);
                Some(b"OK\0".to_vec())
            }
            13 => {
                let size = tree.len();
                tree.retain(|key, _| *key != path && !key.starts_with(&format!("{path}/")));
                (tree.len() < size).then(|| b"OK\0".to_vec())
            }
            14 => {
                tree.insert(path.clone(), rest);
                Some(b"OK\0".to_vec())
            }
            _ => None,
        };
        let changed = *tree != before;
        drop(tree);
        // An event comes between a request and its answer, as xenstored may send it.
        if changed || kind == 4 {
            for watch in &watches {
                send(&mut stream, 15, 0, format!("{watch}\0gpuctl\0").as_bytes())?;
            }
        }
        match answer {
            Some(payload) => send(&mut stream, kind, request, &payload)?,
            None => send(&mut stream, 16, request, b"ENOENT\0")?,
        }
    }
}

fn send(stream: &mut UnixStream, kind: u32, request: u32, payload: &[u8]) -> io::Result<()> {
    for word in [kind, request, 0, payload.len() as u32] {
        stream.write_all(&word.to_le_bytes())?;
    }
    stream.write_all(payload)
}

#[derive(Default)]
struct Fake {
    done: Vec<String>,
    target_refused: Option<i32>,
    tree: Arc<Mutex<Tree>>,
}

impl Toolstack for Fake {
    fn create_paused(&mut self, config: &str, _more: &[String]) -> Result<()> {
        self.done.push(format!(
            "create {}",
            config.rsplit('/').next().unwrap_or_default()
        ));
        let mut tree = self.tree.lock().unwrap();
        tree.insert("/local/domain/7/name".into(), b"h1".to_vec());
        Ok(())
    }

    fn unpause(&mut self, guest: u32) -> Result<()> {
        self.done.push(format!("unpause {guest}"));
        Ok(())
    }

    fn destroy(&mut self, guest: u32) -> Result<()> {
        self.done.push(format!("destroy {guest}"));
        Ok(())
    }

    fn set_target(&mut self, service: u32, guest: u32) -> Result<()> {
        self.done.push(format!("target {service} {guest}"));
        match self.target_refused {
            None => Ok(()),
            Some(errno) => {
                let error = io::Error::from_raw_os_error(errno);
                Err(Error::Target {
                    service,
                    guest,
                    error,
                })
            }
        }
    }
}

/// Runs one command line; its answer, what the toolstack did, and the tree afterwards.
fn command(
    line: &str,
    tree: Tree,
    target_refused: Option<i32>,
    hook: impl FnMut(&mut Tree, &str, &[u8]) + Send + 'static,
) -> (Result<String>, Vec<String>, Tree) {
    let tree = Arc::new(Mutex::new(tree));
    let (ours, theirs) = UnixStream::pair().unwrap();
    let served = Arc::clone(&tree);
    thread::spawn(move || serve(theirs, &served, Box::new(hook)));
    let mut store = Xenstore::over(ours.try_clone().unwrap(), ours);
    let mut fake = Fake {
        target_refused,
        tree: Arc::clone(&tree),
        ..Fake::default()
    };
    let mut arguments = arguments::parse(line.split_whitespace().map(str::to_owned)).unwrap();
    arguments.timeout = arguments.timeout.min(Duration::from_secs(20));
    let answer = run(arguments, &mut store, &mut fake);
    let tree = tree.lock().unwrap().clone();
    (answer, fake.done, tree)
}

/// A service domain that gives these (state, reason) answers to successive commands.
fn answering(
    answers: &'static [(&'static str, &'static str)],
) -> impl FnMut(&mut Tree, &str, &[u8]) + Send {
    let mut answers = answers.iter();
    move |tree, path, _| {
        if path.ends_with("/vgpu/7/command")
            && let Some((state, reason)) = answers.next()
        {
            assert!(
                !tree.contains_key(STATE),
                "the old state is cleared before the command"
            );
            tree.insert(REASON.into(), reason.as_bytes().to_vec());
            tree.insert(STATE.into(), state.as_bytes().to_vec());
        }
    }
}

#[test]
fn a_command_is_the_last_thing_written_and_finds_every_size() {
    let seen = Arc::new(Mutex::new(None));
    let inside = Arc::clone(&seen);
    let line = "attach h1 --low-gm 32 --high-gm 1G --fences 2 --weight 7 --display 800x600 \
                --huge-gtt";
    let (answer, done, tree) = command(line, tree(), None, move |tree, path, value| {
        if path.ends_with("/command") {
            *inside.lock().unwrap() = Some((value.to_vec(), tree.clone()));
            tree.insert(STATE.into(), b"attached".to_vec());
        }
    });
    assert_eq!(answer.unwrap(), "d7 has a vGPU of d3\n");
    assert!(done.is_empty());
    let (value, at_command) = seen.lock().unwrap().take().unwrap();
    assert_eq!(value, b"attach");
    for (name, value) in [
        ("low-gm", "32"),
        ("high-gm", "1024"),
        ("fences", "2"),
        ("weight", "7"),
        ("display", "800x600"),
        ("huge-gtt", "1"),
    ] {
        let node = format!("/local/domain/3/data/gpu/vgpu/7/{name}");
        assert_eq!(at_command.get(&node).unwrap(), value.as_bytes(), "{name}");
    }
    assert_eq!(tree.get("@releaseDomain").unwrap(), b"n0\0r3\0");
}

#[test]
fn a_refusal_is_told_in_the_service_domains_words_with_control_characters_escaped() {
    let (answer, _, _) = command(
        "attach 7",
        tree(),
        None,
        answering(&[("refused", "asked 384 MiB high GM, 128 MiB left\x1b[2J")]),
    );
    let error = answer.unwrap_err();
    assert_eq!(error.status(), 4);
    assert!(
        error
            .to_string()
            .contains(r"asked 384 MiB high GM, 128 MiB left\x1b[2J")
    );
}

#[test]
fn a_guest_that_has_a_vgpu_keeps_it_and_its_nodes() {
    let mut attached = tree();
    attached.insert(STATE.into(), b"attached".to_vec());
    let (answer, _, after) = command("attach h1", attached.clone(), None, |_, _, _| {});
    let error = answer.unwrap_err();
    assert_eq!((error.status(), &after), (4, &attached));
    assert!(error.to_string().contains("detach"));
}

#[test]
fn stock_xen_gets_its_one_target_and_a_second_one_is_explained() {
    let answers = &[("needs-target", "EPERM"), ("attached", "")];
    let (answer, done, _) = command("attach h1", tree(), None, answering(answers));
    assert!(answer.is_ok());
    assert_eq!(done, ["target 3 7"]);

    let (answer, done, _) = command("attach h1", tree(), Some(22), answering(answers));
    let error = answer.unwrap_err();
    assert_eq!((error.status(), done.len()), (7, 1));
    let text = error.to_string();
    assert!(
        text.contains("ONE guest") && text.contains("FLASK"),
        "{text}"
    );
}

#[test]
fn a_service_domain_that_never_tires_of_wanting_a_target_is_not_obeyed_forever() {
    let answers = &[
        ("needs-target", "1"),
        ("needs-target", "2"),
        ("needs-target", "3"),
    ];
    let (answer, done, _) = command("attach h1", tree(), None, answering(answers));
    assert_eq!(answer.unwrap_err().status(), 4);
    assert_eq!(done, ["target 3 7"]);
}

#[test]
fn hostile_states_and_silence_end_the_wait_with_an_explanation() {
    let (answer, _, _) = command(
        "attach h1",
        tree(),
        None,
        answering(&[("attached\nd0", "")]),
    );
    assert!(matches!(answer, Err(Error::Nonsense { .. })));
    let (answer, _, _) = command("attach h1", tree(), None, answering(&[("detached", "")]));
    assert!(matches!(answer, Err(Error::Nonsense { .. })));
    let (answer, _, _) = command("attach h1 --timeout 0", tree(), None, answering(&[]));
    assert!(matches!(answer, Err(Error::Silence { .. })));
}

#[test]
fn a_guest_that_vanishes_while_the_service_domain_thinks_ends_the_wait() {
    let (answer, _, _) = command("attach h1", tree(), None, |tree, path, _| {
        if path.ends_with("/command") {
            tree.remove("/local/domain/7/name");
        }
    });
    assert!(matches!(answer, Err(Error::GuestVanished(GUEST))));
}

#[test]
fn a_guest_posing_as_service_domain_in_its_own_nodes_is_not_believed() {
    let mut tree = tree();
    tree.remove("/local/domain/3/name");
    tree.insert("/local/domain/9/name".into(), b"liar".to_vec());
    tree.insert("/local/domain/9/data/gpu/state".into(), b"ready".to_vec());
    let (answer, done, after) = command("attach h1", tree.clone(), None, |_, _, _| {});
    assert!(matches!(answer, Err(Error::NoService)));
    assert!(done.is_empty());
    assert_eq!(after, tree);
}

#[test]
fn only_existing_hvm_guests_are_asked_for() {
    for (kind, line) in [("pv", "attach h1"), ("pvh", "attach 7")] {
        let mut tree = tree();
        tree.insert("/libxl/7/type".into(), kind.as_bytes().to_vec());
        let (answer, _, _) = command(line, tree, None, |_, _, _| {});
        assert!(
            matches!(answer, Err(Error::NotHvm { domain: GUEST, .. })),
            "{kind}"
        );
    }
    for nobody in [
        "attach h9",
        "attach 9",
        "attach 32752",
        "attach 99999999999",
        "attach 0x7",
    ] {
        let (answer, _, _) = command(nobody, tree(), None, |_, _, _| {});
        assert!(matches!(answer, Err(Error::NoDomain(_))), "{nobody}");
    }
    let (answer, _, _) = command("attach Domain-0", tree(), None, |_, _, _| {});
    assert!(matches!(answer, Err(Error::NotHvm { domain: 0, .. })));
}

#[test]
fn a_service_domain_that_starts_is_waited_for_and_a_failed_one_is_quoted() {
    let mut starting = tree();
    starting.insert(
        "/local/domain/3/data/gpu/state".into(),
        b"starting".to_vec(),
    );
    let (answer, _, _) = command("attach h1 --timeout 0", starting, None, |_, _, _| {});
    assert!(matches!(
        answer,
        Err(Error::Silence {
            service: SERVICE,
            ..
        })
    ));

    let mut failed = tree();
    failed.insert("/local/domain/3/data/gpu/state".into(), b"failed".to_vec());
    failed.insert(
        "/local/domain/3/data/gpu/reason".into(),
        b"Xen 4.17 is too old".to_vec(),
    );
    let (answer, _, _) = command("attach h1", failed, None, |_, _, _| {});
    let error = answer.unwrap_err();
    assert_eq!(error.status(), 3);
    assert!(error.to_string().contains("Xen 4.17 is too old"));
}

/// A guest's configuration file on disk.
fn config(test: &str) -> String {
    let path = std::env::temp_dir().join(format!("gpuctl-{test}-{}.cfg", std::process::id()));
    std::fs::write(&path, "name=\"h1\"\ntype=\"hvm\"\n").unwrap();
    path.to_string_lossy().into_owned()
}

#[test]
fn create_makes_the_guest_paused_attaches_and_lets_it_run() {
    let config = config("create");
    let mut tree = tree();
    tree.remove("/local/domain/7/name");
    let (answer, done, _) = command(
        &format!("create {config}"),
        tree,
        None,
        answering(&[("attached", "")]),
    );
    assert_eq!(answer.unwrap(), "d7 runs, with a vGPU of d3\n");
    assert_eq!(done.len(), 2);
    assert_eq!(done[1], "unpause 7");
}

#[test]
fn a_guest_that_gets_no_vgpu_is_destroyed_and_never_runs() {
    let config = config("undo");
    let mut absent = tree();
    absent.remove("/local/domain/7/name");
    let line = format!("create {config}");
    let refusal = answering(&[("refused", "no fences left")]);
    let (answer, done, _) = command(&line, absent, None, refusal);
    assert_eq!(answer.unwrap_err().status(), 4);
    assert_eq!(done[1..], ["destroy 7"]);

    let (answer, done, _) = command(&line, tree(), None, |_, _, _| {});
    assert!(answer.unwrap_err().to_string().contains("taken by d7"));
    assert!(done.is_empty(), "somebody else's h1 is not touched");
}

#[test]
fn list_shows_the_free_space_and_every_vgpu() {
    let mut tree = tree();
    for (name, value) in [("state", "attached"), ("low-gm", "64"), ("high-gm", "384")] {
        tree.insert(
            format!("/local/domain/3/data/gpu/vgpu/7/{name}"),
            value.into(),
        );
    }
    tree.insert(
        "/local/domain/3/data/gpu/vgpu/8/state".into(),
        b"\x1b[31mattached".to_vec(),
    );
    tree.insert(
        "/local/domain/3/data/gpu/vgpu/x/state".into(),
        b"attached".to_vec(),
    );
    let text = command("list", tree, None, |_, _, _| {}).0.unwrap();
    assert_eq!(
        text.lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .collect::<Vec<_>>(),
        [
            "service domain d3: ready, version 0.1.0, free: 64 MiB low, 128 MiB high, 28 fences"
                .split_whitespace()
                .collect::<Vec<_>>(),
            "DOMAIN NAME STATE LOW-GM HIGH-GM FENCES WEIGHT DISPLAY REASON"
                .split_whitespace()
                .collect(),
            vec!["d7", "h1", "attached", "64", "384", "-", "-", "-"],
            vec!["d8", "(gone)", "\\x1b[31mattached", "-", "-", "-", "-", "-"],
        ]
    );
}

#[test]
fn detach_tidies_up_and_works_for_a_guest_that_is_gone() {
    for gone in [false, true] {
        let mut tree = tree();
        tree.insert(STATE.into(), b"attached".to_vec());
        if gone {
            tree.remove("/local/domain/7/name");
        }
        let (answer, _, after) = command("detach 7", tree, None, answering(&[("detached", "")]));
        assert_eq!(answer.unwrap(), "d7 has no vGPU any more\n");
        assert!(
            !after.keys().any(|key| key.contains("/vgpu/7")),
            "{after:?}"
        );
    }
}

#[test]
fn what_dead_guests_left_is_removed_but_not_what_the_service_domain_still_holds() {
    let mut tree = tree();
    for (guest, state) in [(4, "detached"), (5, "attached"), (6, "refused")] {
        tree.insert(
            format!("/local/domain/3/data/gpu/vgpu/{guest}/state"),
            state.into(),
        );
    }
    let (_, _, after) = command("attach h1", tree, None, answering(&[("attached", "")]));
    let left =
        |guest: u32| after.contains_key(&format!("/local/domain/3/data/gpu/vgpu/{guest}/state"));
    assert_eq!([4, 5, 6].map(left), [false, true, false]);
}

#[test]
fn broken_answers_of_xenstored_are_errors_not_hangs() {
    for bytes in [
        &[0xff; 16][..],
        &[1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0],
        &[],
    ] {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(bytes).unwrap();
        drop(theirs);
        let mut store = Xenstore::over(ours.try_clone().unwrap(), ours);
        assert!(store.read("/x").is_err());
    }
}
