use gpu::spec::engine::{self, Engine, masked};
use gpu::spec::registers::{
    FENCE, GDRST, GFX_FLSH_CNTL, GT_INTERRUPT_BANKS, MASTER_INTERRUPT, PCODE_MAILBOX, POWER_WELL,
    TLB_INVALIDATE,
};
use mediator::{DomainId, Space};
use proptest::prelude::*;

use crate::common::{BAR0, Recorder, SMALL, World};

fn booted() -> (World<Recorder>, DomainId) {
    let mut world = World::new(512);
    let guest = world.booted(1, SMALL);
    (world, guest)
}

#[test]
fn what_the_driver_probes_reads_as_the_device_it_expects() {
    let (mut world, guest) = booted();
    for (offset, value) in [
        (0x42300, 0),           // FPGA_DBG: no unclaimed access
        (0x51000, 0x5020_0000), // DFSM: no pipes
        (0xa26c, 4),            // CTC_MODE: 12 MHz
        (0x9120, 0x0280_0000),  // FUSE2: slice 0, subslice 3 off
        (0x120010, 0),          // no eDRAM
        (0xc050, 0),            // no GuC firmware region
        (0x42000, 0x8e00_0000), // power wells fused in
    ] {
        assert_eq!(world.read(guest, offset), value, "{offset:#x}");
    }
    for engine in Engine::ALL {
        assert_eq!(world.read(guest, engine.base() + engine::EIR), 0);
        assert_eq!(world.read(guest, engine.base() + engine::ESR), 0);
        assert_eq!(
            world.read(guest, engine.base() + engine::MI_MODE) & 1 << 9,
            1 << 9,
            "idle"
        );
    }
    assert_eq!(world.vgpu(guest).counters().untracked, 0);
}

#[test]
fn masked_registers_change_the_bits_their_upper_half_names() {
    let (mut world, guest) = booted();
    let mode = Engine::Bcs.base() + engine::RING_MODE;
    world.write(guest, mode, masked(1 << 15, 1 << 15));
    world.write(guest, mode, masked(1, 1));
    assert_eq!(world.read(guest, mode), 1 << 15 | 1);
    world.write(guest, mode, masked(1 << 15, 0));
    assert_eq!(world.read(guest, mode), 1);
    // A narrow write names no bits, or clears the ones it names.
    world.access(
        guest,
        Space::Memory(BAR0 + u64::from(mode)),
        2,
        Some(0xffff),
    );
    assert_eq!(world.read(guest, mode), 1);
    world.access(guest, Space::Memory(BAR0 + u64::from(mode) + 2), 2, Some(1));
    assert_eq!(world.read(guest, mode), 0);
}

#[test]
fn a_stopped_ring_is_idle_and_a_reset_is_ready_as_soon_as_it_is_asked_for() {
    let (mut world, guest) = booted();
    for engine in Engine::ALL {
        let mode = engine.base() + engine::MI_MODE;
        world.write(guest, mode, masked(1 << 8, 1 << 8));
        assert_eq!(world.read(guest, mode), 1 << 9 | 1 << 8);
        world.write(guest, mode, masked(1 << 8, 0));
        let control = engine.base() + engine::RESET_CTL;
        world.write(guest, control, masked(1, 1));
        assert_eq!(world.read(guest, control), 0b11);
        world.write(guest, GDRST, engine.reset_bit());
        assert_eq!(world.read(guest, GDRST), 0);
        world.write(guest, control, masked(1, 0));
        assert_eq!(world.read(guest, control), 0);
    }
    assert_eq!(world.vgpu(guest).counters().resets, 4);
}

#[test]
fn a_full_reset_restores_the_engines_registers_and_leaves_interrupts_and_fences() {
    let (mut world, guest) = booted();
    let low = world.first(guest)[0] * 4096;
    let mask = Engine::Rcs.base() + engine::RING_IMR;
    world.write(guest, mask, 0);
    world.write(guest, GT_INTERRUPT_BANKS + 0xc, 0x55);
    world.write(guest, FENCE + 4, low);
    world.write(guest, FENCE, low | 1);
    world.write(guest, GDRST, 1);
    assert_eq!(world.read(guest, GDRST), 0);
    assert_eq!(world.read(guest, mask), !0);
    assert_eq!(world.read(guest, GT_INTERRUPT_BANKS + 0xc), 0x55);
    assert_eq!(world.read(guest, FENCE), low | 1);
    assert_eq!(world.vgpu(guest).counters().resets, 4);
}

#[test]
fn flushes_and_invalidations_are_done_at_once() {
    let (mut world, guest) = booted();
    for offset in (TLB_INVALIDATE..TLB_INVALIDATE + 20).step_by(4) {
        world.write(guest, offset, 1);
        assert_eq!(world.read(guest, offset), 0, "{offset:#x}");
    }
    let flushes = world.mediator.host().gpu.flushes;
    world.write(guest, GFX_FLSH_CNTL, 1);
    assert_eq!(
        world.mediator.host().gpu.flushes,
        flushes,
        "nothing to flush, nothing done"
    );
    let first = world.first(guest)[0];
    world.map(guest, first, 3);
    world.write(guest, GFX_FLSH_CNTL, 1);
    assert_eq!(world.mediator.host().gpu.flushes, flushes + 1);
    assert_eq!(world.read(guest, GFX_FLSH_CNTL), 0);
}

#[test]
fn power_wells_and_forcewake_follow_their_requests() {
    let (mut world, guest) = booted();
    world.write(guest, POWER_WELL + 4, 0x8000_0002);
    assert_eq!(world.read(guest, POWER_WELL + 4), 0xc000_0003);
    world.write(guest, POWER_WELL + 4, 0x0000_0002);
    assert_eq!(world.read(guest, POWER_WELL + 4), 0x0000_0003);
    for (request, acknowledgement) in [(0xa278, 0xd84), (0xa270, 0xd88), (0xa188, 0x13_0044)] {
        world.write(guest, request, masked(1, 1));
        assert_eq!(world.read(guest, acknowledgement) & 1, 1);
        world.write(guest, request, masked(1, 0));
        assert_eq!(world.read(guest, acknowledgement) & 1, 0);
    }
}

#[test]
fn the_power_controller_answers_every_command_at_once_without_an_error() {
    let (mut world, guest) = booted();
    let data = PCODE_MAILBOX + 4;
    for command in 0..=0xff {
        world.write(guest, data, 0);
        world.write(guest, PCODE_MAILBOX, 1 << 31 | command);
        let answer = world.read(guest, PCODE_MAILBOX);
        assert_eq!((answer >> 31, answer & 0xff), (0, 0), "{command:#x}");
    }
    for command in [0x07, 0x21] {
        world.write(guest, data, 0);
        world.write(guest, PCODE_MAILBOX, 1 << 31 | command);
        assert_eq!(world.read(guest, data) & 1, 1, "{command:#x}");
    }
}

#[test]
fn batches_are_granted_only_registers_on_the_list() {
    let (mut world, guest) = booted();
    let slot = Engine::Rcs.base() + engine::NONPRIV;
    for granted in [0x2248, 0x2580, 0x7304, 0x7014, 0xb118, 0x2094] {
        world.write(guest, slot, granted);
        assert_eq!(world.read(guest, slot), granted);
    }
    for refused in [
        0x2230,
        0x2080,
        0x229c,
        0x941c,
        0x24d0,
        0x1_2094,
        0x1_2248,
        0x2094 | 1 << 28,
        !0,
    ] {
        world.write(guest, slot, refused);
        assert_eq!(world.read(guest, slot), 0x2094, "{refused:#x}");
    }
    assert_eq!(world.vgpu(guest).counters().violations, 9);
}

#[test]
fn a_status_page_must_lie_in_the_slice() {
    let (mut world, guest) = booted();
    let other = world.booted(2, SMALL);
    let [own, high] = world.first(guest).map(|first| first * 4096);
    let [foreign, _] = world.first(other).map(|first| first * 4096);
    let register = Engine::Rcs.base() + engine::HWS_PGA;
    for page in [own, high, 0] {
        world.write(guest, register, page);
        assert_eq!(world.read(guest, register), page);
    }
    world.write(guest, register, own + 4096);
    for page in [foreign, own + (2 << 20), 0xffff_f000] {
        world.write(guest, register, page);
        assert_eq!(world.read(guest, register), own + 4096);
    }
    assert_eq!(world.vgpu(guest).counters().violations, 3);
}

#[test]
fn fences_beyond_the_slice_stay_off_and_the_devices_own_are_those_of_the_slice() {
    let (mut world, guest) = booted();
    let other = world.booted(2, SMALL);
    let [own, foreign] = [guest, other].map(|id| world.first(id)[0] * 4096);
    let fence = |world: &World<Recorder>, number: u32| {
        [0, 4].map(|half| {
            world
                .mediator
                .host()
                .gpu
                .register(FENCE + number * 8 + half)
        })
    };
    world.write(guest, FENCE + 8, 0);
    world.write(guest, FENCE + 12, (own + 0x1000) | 3);
    world.write(guest, FENCE + 8, own | 1);
    assert_eq!(fence(&world, 1), [own | 1, (own + 0x1000) | 3]);
    // The other guest's first fence is the device's third.
    world.write(other, FENCE + 4, foreign | 3);
    world.write(other, FENCE, foreign | 1);
    assert_eq!(fence(&world, 2), [foreign | 1, foreign | 3]);
    // Over the neighbour: off, though the guest reads what it wrote.
    world.write(guest, FENCE + 12, foreign | 3);
    assert_eq!(fence(&world, 1)[0], 0);
    world.write(guest, FENCE + 8, own | 1);
    assert_eq!(
        (world.read(guest, FENCE + 8), fence(&world, 1)[0]),
        (own | 1, 0)
    );
    // Not its own at all.
    world.write(guest, FENCE + 16, own | 1);
    assert_eq!(
        (world.read(guest, FENCE + 16), fence(&world, 2)[0]),
        (0, foreign | 1)
    );
    world.mediator.domain_removed(other);
    assert_eq!(fence(&world, 2), [0, 0]);
}

proptest! {
    #[test]
    fn a_device_fence_is_the_guests_or_off_after_any_writes(
        writes in prop::collection::vec((0u32..2, any::<bool>(), 0u32..6, 0u32..4), 1..40),
    ) {
        let (mut world, _) = booted();
        // Something is below it, and the device's third fence is its first.
        let guest = world.booted(2, SMALL);
        let own = world.first(guest)[0] * 4096;
        for (number, upper, page, flags) in writes {
            let register = FENCE + number * 8 + u32::from(upper) * 4;
            // Pitches of whole and half X tiles; pages of its own, and one below.
            world.write(guest, register, own - 4096 + page * 4096 + flags);
            for number in 0..2 {
                let [lower, upper] = [0, 4].map(|half| world.read(guest, FENCE + number * 8 + half));
                let device = [0, 4].map(|half| {
                    world.mediator.host().gpu.register(FENCE + (2 + number) * 8 + half)
                });
                let (first, last) = (lower & !0xfff, upper & !0xfff);
                let tiles = lower & 2 != 0 || upper & 3 == 3;
                let on = lower & 1 != 0 && first >= own && last >= first && tiles;
                prop_assert_eq!(device, [if on { lower } else { 0 }, upper]);
            }
        }
    }
}

#[test]
fn interrupt_registers_are_storage_except_that_ones_clear_identities() {
    let (mut world, guest) = booted();
    for bank in [
        GT_INTERRUPT_BANKS,
        GT_INTERRUPT_BANKS + 0x30,
        0x444e0,
        0xc4000,
    ] {
        world.write(guest, bank + 4, 0x1234_5678);
        assert_eq!(world.read(guest, bank + 4), 0x1234_5678);
        world.write(guest, bank + 8, !0);
        assert_eq!(world.read(guest, bank + 8), 0);
        world.write(guest, bank + 0xc, 0xff);
        assert_eq!(world.read(guest, bank + 0xc), 0xff);
        let space = Space::Memory(BAR0 + u64::from(bank) + 0xd);
        world.access(guest, space, 1, Some(0xaa));
        assert_eq!(world.read(guest, bank + 0xc), 0xaaff, "one byte of it");
    }
    assert_eq!(world.read(guest, MASTER_INTERRUPT), 0);
    world.enable_master(guest);
    assert_eq!(world.read(guest, MASTER_INTERRUPT), 1 << 31);
}

#[test]
fn denied_registers_read_zero_and_count_as_an_offence() {
    let (mut world, guest) = booted();
    world.write(guest, 0x2b00, 5); // OACONTROL: sees across contexts
    assert_eq!(world.read(guest, 0x2b00), 0);
    assert_eq!(world.vgpu(guest).counters().violations, 2);
}
