//! What the typed calls send, as bytes, and what they make of answers.

use super::*;
use crate::fake::{Arena, FakeXen};

fn words(operation: &[u8]) -> Vec<u64> {
    operation
        .chunks(8)
        .map(|chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            u64::from_le_bytes(word)
        })
        .collect()
}

#[test]
fn each_operation_is_encoded_as_the_lab_saw_it_work() {
    let xen = FakeXen::new(Arena::new(1).window());
    let model = DeviceModel::new(&xen, DomainId(5));
    let last = || {
        words(
            xen.state.borrow().guests[&5]
                .operations
                .last()
                .expect("made"),
        )
    };
    let server = model.create_server(Buffering::Atomic).expect("created");
    assert_eq!(server, ServerId(1), "0 is QEMU's");
    assert_eq!(last()[..2], [1, 2]);
    let range = Range::Pci(Sbdf::new(0, 0, 2, 0));
    model.map_range(server, range).expect("claimed");
    assert_eq!(last(), [3, 1 | 2 << 32, 0x10, 0x10]);
    model.unmap_range(server, range).expect("given back");
    assert_eq!(last(), [4, 1 | 2 << 32, 0x10, 0x10]);
    model
        .map_range(server, Range::Ports(0xcf8, 0xcfb))
        .expect("claimed");
    assert_eq!(last(), [3, 1, 0xcf8, 0xcfb]);
    model.set_server_state(server, true).expect("enabled");
    assert_eq!(last(), [5, 1 | 1 << 16]);
    model.inject_msi(0xfee0_0000_1234, 0x4024).expect("sent");
    assert_eq!(last(), [14, 0x4024, 0xfee0_0000_1234]);
    assert_eq!(
        xen.state.borrow().guests[&5].msis,
        [(0xfee0_0000_1234, 0x4024)]
    );
    model
        .set_pci_intx_level(Sbdf::new(0, 0, 2, 0), 1, true)
        .expect("raised");
    assert_eq!(last(), [8, 2 << 24 | 1 << 32 | 1 << 40]);
    model.relocate_memory(0x1000, 0x2000, 4).expect("moved");
    assert_eq!(last(), [17, 4, 0x1000, 0x2000]);
    model.shutdown(ShutdownReason::Crash).expect("asked");
    assert_eq!(last(), [16, 3]);
    assert_eq!(model.vcpus(), Ok(2));
    model.destroy_server(server).expect("destroyed");
    assert_eq!(last(), [6, 1]);
}

#[test]
fn write_protection_has_one_owner_until_it_is_given_up() {
    let xen = FakeXen::new(Arena::new(1).window());
    let model = DeviceModel::new(&xen, DomainId(5));
    let server = model.create_server(Buffering::Off).expect("created");
    model.claim_write_protection(server).expect("free");
    let error = model.claim_write_protection(server).expect_err("taken");
    assert_eq!(error.errno, Errno::EBUSY);
    model
        .set_memory_type(0x100, 3, MemoryType::IoreqServer)
        .expect("set");
    let types = xen.state.borrow().guests[&5].types.clone();
    assert_eq!(
        types.into_iter().collect::<Vec<_>>(),
        [(0x100, 4), (0x101, 4), (0x102, 4)]
    );
    model.release_write_protection(server).expect("given up");
    model.claim_write_protection(server).expect("free again");
}

#[test]
fn a_ninth_server_is_refused_with_the_reason() {
    let xen = FakeXen::new(Arena::new(1).window());
    let model = DeviceModel::new(&xen, DomainId(5));
    for _ in 0..7 {
        model.create_server(Buffering::Off).expect("room");
    }
    let error = model.create_server(Buffering::Off).expect_err("full");
    assert!(
        error
            .to_string()
            .contains("all 8 IOREQ servers of d5 are taken"),
        "{error}"
    );
}

#[test]
fn a_server_without_a_buffered_ring_has_no_port_for_it() {
    let xen = FakeXen::new(Arena::new(1).window());
    let model = DeviceModel::new(&xen, DomainId(5));
    let plain = model.create_server(Buffering::Off).expect("created");
    let buffered = model.create_server(Buffering::Atomic).expect("created");
    assert_eq!(model.buffered_port(plain), Ok(None));
    assert!(matches!(model.buffered_port(buffered), Ok(Some(_))));
    assert_eq!(
        model.buffered_port(ServerId(0)).expect_err("QEMU's").errno,
        Errno::EPERM
    );
    assert_eq!(
        model.buffered_port(ServerId(7)).expect_err("none").errno,
        Errno::ENOENT
    );
}

#[test]
fn modified_memory_goes_as_two_buffers() {
    let xen = FakeXen::new(Arena::new(1).window());
    let model = DeviceModel::new(&xen, DomainId(5));
    let extent = |first_pfn| ModifiedMemoryExtent {
        nr: 1,
        pad: 0,
        first_pfn,
    };
    model
        .modified_memory(&mut [extent(0x100), extent(0x200)])
        .expect("told");
}

#[test]
fn a_function_prints_as_people_write_it() {
    assert_eq!(Sbdf::new(0, 0, 2, 0).to_string(), "0000:00:02.0");
    assert_eq!(Sbdf::new(0x12, 0x34, 0x1f, 7).to_string(), "0012:34:1f.7");
}
