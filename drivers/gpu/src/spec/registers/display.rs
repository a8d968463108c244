//! Display: what a driver touches although every pipe is fused off.
//!
//! Source: PRM Kaby Lake vol. 2c and 12; Linux `i915_reg.h`, `display/intel_dmc_regs.h`.
//!
//! Not done: pipes, planes, ports, GMBUS and AUX of a vGPU with a display.

use super::row::{fixed, row};
use super::{Behaviour, Kind, Register};
use crate::spec::pvinfo;

/// North display before the interrupt banks, in ascending order.
pub(super) const NORTH: &[Register] = &[
    row("VGA_CONTROL", 0x41000).reset(1 << 31),
    // Downloaded fuses of power wells 0, 1 and 2.
    fixed("FUSE_STATUS", 0x42000, 0x8e00_0000),
    fixed("FUSE_STRAP", 0x42014, 0),
    row("DSPCLK_GATE_D", 0x42020),
    row("CHICKEN_PAR1_1", 0x42080),
    row("CHICKEN_MISC_4", 0x4208c),
    row("CHICKEN_PAR2_1", 0x42090),
    row("CHICKEN_PIPESL", 0x420b0).times(3),
    row("CHICKEN_TRANS", 0x420c0).times(4),
    row("FPGA_DBG", 0x42300).kind(Kind::WriteOneToClear),
    row("DPFC_CONTROL", 0x43208),
    row("DPFC_CHICKEN", 0x43224),
];

/// North display after the interrupt banks, in ascending order.
pub(super) const CLOCKS: &[Register] = &[
    row("DISP_ARB_CTL", 0x45000),
    row("DISP_ARB_CTL2", 0x45004),
    row("DBUF_CTL", 0x45008),
    row("MSG_CTL", 0x45010),
    row("PWR_WELL_CTL", super::POWER_WELL)
        .times(6)
        .does(Behaviour::PowerWell),
    row("DC_STATE_EN", 0x45504),
    row("DC_STATE_DEBUG", 0x45520),
    row("CDCLK_CTL", 0x46000),
    row("LCPLL_CTL", 0x46010).times(2),
    row("CDCLK_FREQ", 0x46200),
    row("RSTWRN_OPT", 0x46408),
    row("CHICKEN_DCPR_1", 0x46430),
    row("CLKGATE_DIS_0", 0x46530),
    row("CLKGATE_DIS_3", 0x46538).times(3),
    row("UTIL_PIN_CTL", 0x48400),
    // Bits 30 (pipe A), 21 (B) and 28 (C) set: no pipe, hence no display.
    fixed("DFSM", 0x51000, 0x5020_0000),
    fixed("DSSM", 0x51004, 0),
    row("PSR_IMR", 0x64834).reset(!0),
    row("PSR_IIR", 0x64838).kind(Kind::WriteOneToClear),
    row("DPLL_CTRL", 0x6c058).times(2),
    row("DPLL_STATUS", 0x6c060),
];

/// The PVINFO page and the display microcontroller, in ascending order.
pub(super) const FIRMWARE: &[Register] = &[
    row("PVINFO", pvinfo::BASE)
        .times(pvinfo::SIZE / 4)
        .does(Behaviour::Pvinfo),
    row("DMC_PROGRAM", 0x80000).times(0x3000 / 4),
    row("DMC_HTP", 0x8f004),
    row("DMC_LAST_WRITE", 0x8f034),
    row("DMC_SSP_BASE", 0x8f074),
];

/// PCH before and after its interrupt bank, in ascending order.
pub(super) const SOUTH: &[Register] = &[
    row("SOUTH_CHICKEN1", 0xc2000),
    row("SOUTH_CHICKEN2", 0xc2004),
    fixed("SFUSE_STRAP", 0xc2014, 0),
    row("SOUTH_DSPCLK_GATE_D", 0xc2020),
];

/// PCH clocks and panel power, in ascending order.
pub(super) const PCH: &[Register] = &[
    row("GPIO_CTL", 0xc5010).times(6),
    row("GMBUS", 0xc5100).times(6),
    row("GMBUS5", 0xc5120),
    row("SBI_ADDR", 0xc6000),
    row("SBI_DATA", 0xc6004),
    row("SBI_CTL_STAT", 0xc6008),
    row("RAWCLK_FREQ", 0xc6204).reset(24),
    row("PP_STATUS", 0xc7200).times(5),
    row("BLC_PWM_PCH_CTL", 0xc8250).times(2),
];
