//! Every table of the mediator as text, for the person at the console.

use core::fmt::{Result, Write};

use gpu::{Engine, Gpu};

use crate::pci::Bar;
use crate::vgpu::Vgpu;
use crate::{Clock, Guests, Mediator};

/// Writes the partition and every vGPU.
pub fn write<G: Gpu, H: Guests, C: Clock>(
    mediator: &Mediator<G, H, C>,
    out: &mut dyn Write,
) -> Result {
    let host = mediator.host();
    let (low, high, fences) = host.partition.free();
    let kept = host.partition.host_region();
    writeln!(
        out,
        "partition: free {low} MiB low GM, {high} MiB high GM, {fences} fences;"
    )?;
    writeln!(
        out,
        "  GTT {:#x} entries, host keeps {:#x}-{:#x}",
        host.partition.total(),
        kept.first,
        kept.end(),
    )?;
    if mediator.vgpus().next().is_none() {
        writeln!(out, "no vGPU")?;
    }
    for vgpu in mediator.vgpus() {
        one(vgpu, host.guests.pins(vgpu.domain), out)?;
    }
    Ok(())
}

fn one(vgpu: &Vgpu, pins: u32, out: &mut dyn Write) -> Result {
    let (config, slice, counters) = (&vgpu.config, &vgpu.slice, &vgpu.counters);
    let state = if vgpu.pvinfo.ready {
        "driver ready"
    } else {
        "no driver"
    };
    writeln!(out, "{}: {state}, weight {}", vgpu.domain, config.weight)?;
    for (name, region) in [("low GM", slice.mappable), ("high GM", slice.nonmappable)] {
        let (start, end) = (region.start().0, region.start().0 + region.length());
        writeln!(
            out,
            "  {name:<8} {:>4} MiB at {start:#010x}-{end:#010x}",
            region.length() >> 20
        )?;
    }
    writeln!(
        out,
        "  fences   {} from {}",
        slice.fences.count, slice.fences.first
    )?;
    for (name, bar) in [("BAR0", Bar::Registers), ("BAR2", Bar::Aperture)] {
        match vgpu.pci.window(bar) {
            Some(base) => writeln!(out, "  {name}     at {base:#x}")?,
            None => writeln!(out, "  {name}     off")?,
        }
    }
    writeln!(
        out,
        "  pins     {pins}, {} by GTT entries, {} waiting for a flush",
        vgpu.gtt.mapped(),
        vgpu.gtt.deferred(),
    )?;
    writeln!(
        out,
        "  ppgtt    {} shadow tables, {} protected, {} trapped writes, {} resyncs",
        vgpu.ppgtts.tables(),
        vgpu.ppgtts.guarded(),
        counters.table_writes,
        vgpu.ppgtts.resyncs(),
    )?;
    writeln!(out, "  pages    {}", vgpu.ppgtts.large())?;
    let (open, limit) = vgpu.gtt.open();
    writeln!(
        out,
        "  bulk     {open} of {limit} pages open, {} were, {} entries",
        counters.opened, counters.bulk,
    )?;
    writeln!(
        out,
        "  accesses {} config, {} + {} registers, {} GTT, {} aperture",
        counters.config,
        counters.register_reads,
        counters.register_writes,
        counters.gtt,
        counters.aperture,
    )?;
    writeln!(
        out,
        "  work     {} submitted, {} complete, {} refused, {} resets, {} us",
        counters.submissions,
        counters.completions,
        counters.refused,
        counters.resets,
        counters.gpu_time / 1000,
    )?;
    writeln!(
        out,
        "  messages {} sent, {} held back, {} lost",
        counters.interrupts, counters.interrupts_held, counters.interrupts_lost,
    )?;
    writeln!(
        out,
        "  offences {} violations, {} unpinnable, {} outside, {} lines left out",
        counters.violations, counters.unpinnable, counters.outside, counters.silenced,
    )?;
    for engine in Engine::ALL {
        let contract = vgpu.contract(engine);
        if contract.submissions != 0 {
            // A line of its own for whoever looks for it: nothing may be lost or surplus.
            writeln!(out, "contract: {} {engine}0 {contract}", vgpu.domain)?;
        }
    }
    // Always the same words at the start of a line: scenarios look for `untracked: dN 0`.
    write!(out, "untracked: {} {}", vgpu.domain, counters.untracked)?;
    for offset in counters.first_untracked() {
        write!(out, " {offset:#x}")?;
    }
    writeln!(out)
}
