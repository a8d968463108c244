//! Output with a daemon that reads, that sleeps, and that lies.

use std::cell::RefCell;
use std::rc::Rc;

use super::*;
use crate::fake::{Arena, FakeXen};
use crate::shared::MappedPage;

/// A console whose daemon reads whenever we yield, if it is awake.
struct Setup {
    xen: FakeXen,
    page: MappedPage,
    output: Rc<RefCell<Vec<u8>>>,
    awake: Rc<RefCell<bool>>,
}

impl Setup {
    fn new() -> Self {
        let arena = Arena::new(1);
        let xen = FakeXen::new(arena.window());
        let page = arena.window().page(0).expect("there");
        let output = Rc::new(RefCell::new(Vec::new()));
        let awake = Rc::new(RefCell::new(true));
        let (sink, up) = (output.clone(), awake.clone());
        let mut daemon = Receiver::resume(&page, OUT);
        xen.on_sleep(move || {
            let mut bytes = [0; 700];
            if *up.borrow() {
                let got = daemon.get(&page, &mut bytes).expect("our index is right");
                sink.borrow_mut().extend_from_slice(&bytes[..got]);
            }
        });
        Self {
            xen,
            page,
            output,
            awake,
        }
    }

    fn console(&self) -> Console<&FakeXen, MappedPage> {
        let port = events::bind_virq(&&self.xen, 0, 0).expect("bound");
        Console::new(&self.xen, self.page, port)
    }

    fn drain(&self) {
        for _ in 0..10 {
            scheduling::yield_now(&&self.xen);
        }
    }
}

#[test]
fn a_burst_longer_than_the_ring_arrives_whole() {
    let setup = Setup::new();
    let mut console = setup.console();
    let text: Vec<u8> = (0..20_000).map(|index| b'a' + (index % 26) as u8).collect();
    assert_eq!(console.write(&text), text.len());
    setup.drain();
    assert_eq!(*setup.output.borrow(), text);
    assert_eq!(console.dropped(), 0);
    assert!(
        !setup.xen.state.borrow().sent.is_empty(),
        "the daemon was told"
    );
}

#[test]
fn a_sleeping_daemon_costs_output_not_time_and_hears_of_it_later() {
    let setup = Setup::new();
    let mut console = setup.console();
    *setup.awake.borrow_mut() = false;
    assert_eq!(console.write(&[b'x'; 3_000]), 2048);
    let calls = setup.xen.state.borrow().calls;
    for _ in 0..100 {
        assert_eq!(console.write(b"lost"), 0);
    }
    assert_eq!(
        setup.xen.state.borrow().calls,
        calls,
        "no more waiting while it is stuck"
    );
    assert_eq!(console.dropped(), 952 + 400);
    *setup.awake.borrow_mut() = true;
    setup.drain();
    assert_eq!(console.write(b"back"), 4);
    setup.drain();
    let output = setup.output.borrow();
    assert!(output.ends_with(b"[1352 bytes of output lost]\r\nback"));
}

#[test]
fn a_daemon_that_reads_too_slowly_is_waited_for_once_only() {
    let setup = Setup::new();
    let mut console = setup.console();
    *setup.awake.borrow_mut() = false;
    console.write(&[b'x'; 2_100]);
    // It takes a little and sleeps on.
    let consumed = setup.page.load_u32(OUT.consumer);
    setup.page.store_u32(OUT.consumer, consumed + 100);
    let calls = setup.xen.state.borrow().calls;
    assert!(console.write(&[b'y'; 500]) < 100);
    let spent = setup.xen.state.borrow().calls - calls;
    assert_eq!(spent, 1, "one notification, no waiting");
}

#[test]
fn input_comes_in_order_and_without_waiting() {
    let setup = Setup::new();
    let mut console = setup.console();
    let mut into = [0; 8];
    assert_eq!(console.read(&mut into), 0);
    let mut keyboard = Sender::resume(&setup.page, IN);
    keyboard.put(&setup.page, b"status\n").expect("room");
    assert_eq!(console.read(&mut into), 7);
    assert_eq!(&into[..7], b"status\n");
}

#[test]
fn a_daemon_that_lies_about_its_index_gets_nothing() {
    let setup = Setup::new();
    let mut console = setup.console();
    setup.page.store_u32(OUT.consumer, 12_345);
    assert_eq!(console.write(b"hello"), 0);
    setup.page.store_u32(IN.producer, 0x8000_0000);
    assert_eq!(console.read(&mut [0; 16]), 0);
    assert_eq!(console.dropped(), 5);
}

#[test]
fn the_hypervisors_log_takes_what_is_written() {
    let setup = Setup::new();
    write_hypervisor_log(&&setup.xen, b"hello\n").expect("taken");
    assert_eq!(setup.xen.state.borrow().log, b"hello\n");
}
