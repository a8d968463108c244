//! Every word, good and bad, and any byte string.

use super::*;
use proptest::prelude::*;

fn complaints(line: &str) -> Vec<String> {
    Config::parse(line.as_bytes())
        .complaints
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn an_empty_line_is_the_default() {
    assert_eq!(Config::parse(b""), Config::default());
    assert_eq!(Config::parse(b"  \t \n"), Config::default());
}

#[test]
fn every_word_is_understood() {
    let config = Config::parse(
        b"log=trace gpu=pci gtt=4096 loopback=2 scenario=selftest exit console=e9,xen record=8M",
    );
    assert_eq!(config.log, LevelFilter::Trace);
    assert_eq!(config.gpu, Gpu::Pci);
    assert_eq!(config.gtt_mib, 4096);
    assert_eq!(config.loopback, 2);
    assert_eq!(config.scenario, Some(Scenario::SelfTest));
    assert!(config.exit);
    assert_eq!(
        config.sinks,
        Sinks {
            serial: false,
            port_e9: true,
            xen: true
        }
    );
    assert_eq!(config.record, 8 << 20);
    assert!(config.complaints.is_empty());
}

#[test]
fn every_scenario_has_its_word() {
    for (word, scenario) in Scenario::ALL {
        let line = format!("scenario={word}");
        assert_eq!(Config::parse(line.as_bytes()).scenario, Some(scenario));
    }
}

#[test]
fn unknown_words_are_reported_and_the_rest_counts() {
    let config = Config::parse(b"frobnicate gpu=pci noapic=1");
    assert_eq!(config.gpu, Gpu::Pci);
    assert_eq!(
        complaints("frobnicate gpu=pci noapic=1"),
        [
            "\"frobnicate\": unknown word, ignored",
            "\"noapic=1\": unknown word, ignored"
        ]
    );
}

#[test]
fn bad_values_name_the_good_ones_and_keep_the_default() {
    let config = Config::parse(b"gtt=777 loopback=17 log exit=yes console=tty record=much");
    assert_eq!(
        Config {
            complaints: ArrayVec::new(),
            ..config
        },
        Config::default()
    );
    assert_eq!(
        complaints("gtt=777 log exit=yes record=99999999999999M"),
        [
            "\"gtt=777\": ignored, expected 512, 1024, 2048 or 4096 (MiB)",
            "\"log\": ignored, expected error, warn, info, debug or trace",
            "\"exit=yes\": ignored, expected no value",
            "\"record=99999999999999M\": ignored, expected bytes, like 65536, 512K or 8M",
        ]
    );
}

#[test]
fn the_first_of_two_counts_and_the_second_is_reported() {
    let config = Config::parse(b"loopback=1 loopback=2");
    assert_eq!(config.loopback, 1);
    assert_eq!(config.complaints[0].trouble, Trouble::Repeated);
}

#[test]
fn control_bytes_cannot_reach_the_console() {
    assert_eq!(
        Config::parse(b"\x1b[2J\xff").complaints[0].to_string(),
        "\"\\x1b[2J\\xff\": unknown word, ignored"
    );
}

#[test]
fn complaints_and_their_words_are_bounded() {
    let line = "z".repeat(100) + &" x".repeat(20);
    let config = Config::parse(line.as_bytes());
    assert_eq!(config.complaints.len(), COMPLAINT_LIMIT);
    assert_eq!(config.more_complaints, 21 - COMPLAINT_LIMIT as u32);
    let word = config.complaints[0].to_string();
    assert!(
        word.starts_with(&format!("\"{}...\"", "z".repeat(WORD_LIMIT))),
        "{word}"
    );
}

proptest! {
    #[test]
    fn any_bytes_parse_and_every_word_is_either_meant_or_complained_about(
        line in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let config = Config::parse(&line);
        let words = line.split(u8::is_ascii_whitespace).filter(|w| !w.is_empty()).count();
        let complaints = config.complaints.len() + config.more_complaints as usize;
        prop_assert!(complaints <= words);
        if config == Config::default() {
            prop_assert_eq!(words, 0);
        }
    }

    #[test]
    fn good_words_in_any_order_mean_the_same(
        words in Just(vec!["log=warn", "gpu=pci", "gtt=512", "loopback=3", "exit"])
            .prop_shuffle(),
    ) {
        let expected = Config::parse(b"log=warn gpu=pci gtt=512 loopback=3 exit");
        prop_assert_eq!(Config::parse(words.join(" ").as_bytes()), expected);
    }
}
