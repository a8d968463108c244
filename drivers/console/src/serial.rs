//! The 16550 at COM1, looked for before it is touched.
//!
//! A PVH domain has no serial port, and COM1 of a machine that runs Xen is Xen's: reads then give
//! all-ones. A line that stops taking bytes (flow control, a device gone) costs a bounded wait
//! once per write and loses text, never time without end.
#![expect(unsafe_code, reason = "claiming the port of the 16550")]

use crate::Sink;
use uart_16550::backend::{Backend, PioBackend};
use uart_16550::{BaudRate, Config, Uart16550};

/// COM1 of a PC.
const COM1: u16 = 0x3f8;

/// Looks at a transmitter that stays busy before giving up; a byte takes 87 microseconds at
/// 115200 baud and a look about one.
const PATIENCE: u32 = 20_000;

/// A 16550 that answered.
#[derive(Debug)]
pub struct Serial<B: Backend = PioBackend> {
    uart: Uart16550<B>,
}

impl Serial {
    /// COM1, if there is one.
    pub fn com1() -> Option<Self> {
        // SAFETY: 0x3f8 is COM1 or nothing on a PC, and this module alone uses it.
        let uart = unsafe { Uart16550::new_port(COM1) }.ok()?;
        Self::start(uart)
    }
}

impl<B: Backend> Serial<B> {
    /// Programs the device, if it is one.
    fn start(mut uart: Uart16550<B>) -> Option<Self> {
        // Nothing there reads as all-ones: find out by reading alone, before any write.
        if uart.lsr().bits() == 0xff {
            return None;
        }
        let config = Config {
            baud_rate: BaudRate::Baud115200,
            ..Config::default()
        };
        uart.init(config).ok()?;
        Some(Self { uart })
    }

    /// Sends one byte; false if the line is stuck.
    fn send(&mut self, byte: u8) -> bool {
        (0..PATIENCE).any(|_| self.uart.try_send_byte(byte).is_ok())
    }
}

impl<B: Backend + Send> Sink for Serial<B> {
    fn name(&self) -> &'static str {
        "serial"
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            let sent = (byte != b'\n' || self.send(b'\r')) && self.send(byte);
            if !sent {
                return;
            }
        }
    }

    fn read(&mut self) -> Option<u8> {
        self.uart.try_receive_byte().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LSR: u8 = 5;
    const SCRATCH: u8 = 7;
    const LINE_CONTROL: u8 = 3;

    /// A 16550 as far as the driver looks.
    struct Fake {
        present: bool,
        stuck: bool,
        scratch: u8,
        line_control: u8,
        sent: Vec<u8>,
        typed: Vec<u8>,
        writes: u32,
        looks: u32,
    }

    impl Fake {
        fn new(present: bool) -> Self {
            Self {
                present,
                stuck: false,
                scratch: 0,
                line_control: 0,
                sent: Vec::new(),
                typed: Vec::new(),
                writes: 0,
                looks: 0,
            }
        }
    }

    impl Backend for Fake {
        unsafe fn read(&mut self, register: u8) -> u8 {
            if !self.present {
                return 0xff;
            }
            match register {
                0 if !self.typed.is_empty() => self.typed.remove(0),
                LSR => {
                    self.looks += 1;
                    let idle = if self.stuck { 0 } else { 0x60 };
                    idle | u8::from(!self.typed.is_empty())
                }
                SCRATCH => self.scratch,
                LINE_CONTROL => self.line_control,
                _ => 0,
            }
        }

        unsafe fn write(&mut self, register: u8, value: u8) {
            self.writes += 1;
            match register {
                0 if self.line_control & 0x80 == 0 => self.sent.push(value),
                SCRATCH => self.scratch = value,
                LINE_CONTROL => self.line_control = value,
                _ => {}
            }
        }
    }

    fn uart(fake: Fake) -> Uart16550<Fake> {
        // SAFETY: the fake has no hardware behind it.
        unsafe { Uart16550::new_with_backend(fake) }
    }

    #[test]
    fn a_port_nobody_answers_at_is_never_written() {
        struct Watched<'a>(Fake, &'a mut u32);
        impl Backend for Watched<'_> {
            unsafe fn read(&mut self, register: u8) -> u8 {
                // SAFETY: as for the fake inside.
                unsafe { self.0.read(register) }
            }
            unsafe fn write(&mut self, _: u8, _: u8) {
                *self.1 += 1;
            }
        }
        let mut writes = 0;
        // SAFETY: the fake has no hardware behind it.
        let uart = unsafe { Uart16550::new_with_backend(Watched(Fake::new(false), &mut writes)) };
        assert!(Serial::start(uart).is_none());
        assert_eq!(writes, 0);
    }

    #[test]
    fn lines_end_in_carriage_return_and_line_feed() {
        let mut serial = Serial::start(uart(Fake::new(true))).unwrap();
        serial.write(b"a\nb\n");
        assert_eq!(serial.uart.backend().sent, b"a\r\nb\r\n");
    }

    #[test]
    fn typed_bytes_come_in_order_and_then_none() {
        let mut serial = Serial::start(uart(Fake::new(true))).unwrap();
        serial.uart.backend_mut().typed = b"ok".to_vec();
        assert_eq!(
            [serial.read(), serial.read(), serial.read()],
            [Some(b'o'), Some(b'k'), None]
        );
    }

    #[test]
    fn a_stuck_line_costs_one_bounded_wait_per_write() {
        let mut serial = Serial::start(uart(Fake::new(true))).unwrap();
        serial.uart.backend_mut().stuck = true;
        serial.uart.backend_mut().looks = 0;
        serial.write(&[b'x'; 1000]);
        assert!(serial.uart.backend().looks <= 2 * PATIENCE);
        assert!(serial.uart.backend().sent.is_empty());
    }
}
