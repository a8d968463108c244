//! Laws of the message format.

use proptest::prelude::*;

use crate::abi::xenstore::{ABS_PATH_MAX, MessageType, PAYLOAD_MAX, REL_PATH_MAX};
use crate::abi::{DomainId, Errno};
use crate::xenstore::XenstoreError;
use crate::xenstore::permission::{self, Access, Permission};
use crate::xenstore::wire::{
    HEADER_SIZE, Header, Request, Transaction, check_path, reply, strings, transaction_id,
    watch_event,
};

const NONE: Transaction = Transaction::NONE;

#[test]
fn paths_have_the_limits_xenstore_has() {
    let absolute = |length: usize| format!("/{}", "a".repeat(length - 1));
    assert_eq!(check_path(&absolute(ABS_PATH_MAX)), Ok(()));
    assert!(check_path(&absolute(ABS_PATH_MAX + 1)).is_err());
    assert_eq!(check_path(&"a".repeat(REL_PATH_MAX)), Ok(()));
    assert_eq!(
        check_path(&"a".repeat(REL_PATH_MAX + 1)),
        Err(XenstoreError::PathTooLong {
            length: 2049,
            limit: 2048
        })
    );
    for bad in ["", "a/", "/a//b", "a\0b"] {
        assert_eq!(check_path(bad), Err(XenstoreError::BadPath), "{bad:?}");
    }
    for good in ["/", "@releaseDomain", "data/x", "/local/domain/0"] {
        assert_eq!(check_path(good), Ok(()), "{good:?}");
    }
}

#[test]
fn a_write_is_the_bytes_the_daemon_expects() {
    let mut message = Vec::new();
    Request::write(Transaction(9), "a/b", b"v\0w")
        .expect("short")
        .encode(0x0102, &mut message);
    let expected = b"\x0b\0\0\0\x02\x01\0\0\x09\0\0\0\x07\0\0\0a/b\0v\0w";
    assert_eq!(message, expected);
}

#[test]
fn requests_without_arguments_still_carry_their_nul() {
    for request in [Request::transaction_start(), Request::reset_watches()] {
        let mut message = Vec::new();
        request.encode(1, &mut message);
        assert_eq!(message.len(), HEADER_SIZE + 1);
    }
    assert!(matches!(
        Request::watch("a", "t\0"),
        Err(XenstoreError::BadText)
    ));
}

#[test]
fn an_error_reply_is_a_refusal_whatever_was_asked() {
    let header = Header {
        kind: MessageType::Error as u32,
        request: 4,
        transaction: 0,
        length: 7,
    };
    let refusal = reply(MessageType::Read, 4, &header, b"EACCES\0");
    assert_eq!(refusal, Err(XenstoreError::Refused(Errno::EACCES)));
    let short = reply(MessageType::Read, 4, &header, b"EACC");
    assert!(matches!(short, Err(XenstoreError::WrongReply { .. })));
}

proptest! {
    #[test]
    fn heads_make_the_round_trip_unless_too_long(
        kind in any::<u32>(), request in any::<u32>(), transaction in any::<u32>(),
        length in any::<u32>(),
    ) {
        let header = Header { kind, request, transaction, length };
        match Header::decode(&header.encode()) {
            Ok(decoded) => {
                prop_assert_eq!(decoded, header);
                prop_assert!(length as usize <= PAYLOAD_MAX);
            }
            Err(error) => prop_assert_eq!(error, XenstoreError::Oversize { length }),
        }
    }

    #[test]
    fn a_message_is_as_long_as_its_head_says(
        path in "[a-z]{1,20}", value in prop::collection::vec(any::<u8>(), 0..4200),
    ) {
        match Request::write(NONE, &path, &value) {
            Ok(request) => {
                let mut message = Vec::new();
                request.encode(1, &mut message);
                let head = message.first_chunk().expect("whole head");
                let header = Header::decode(head).expect("within the limit");
                prop_assert_eq!(message.len(), HEADER_SIZE + header.length as usize);
                prop_assert_eq!(request.length(), header.length as usize);
            }
            Err(error) => {
                let length = path.len() + 1 + value.len();
                prop_assert_eq!(error, XenstoreError::TooLarge { length });
                prop_assert!(length > PAYLOAD_MAX);
            }
        }
    }

    #[test]
    fn any_payload_parses_or_does_not_but_ends(payload in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(strings(&payload).count() <= payload.len() + 1);
        let _ = watch_event(&payload);
        let _ = transaction_id(&payload);
        for text in strings(&payload).flatten() {
            let _ = Permission::parse(text);
        }
    }

    #[test]
    fn strings_come_back_as_they_were_joined(names in prop::collection::vec("[^\0]{0,12}", 0..12)) {
        let payload: Vec<u8> = names.iter().flat_map(|name| format!("{name}\0").into_bytes()).collect();
        let parsed: Result<Vec<&str>, _> = strings(&payload).collect();
        prop_assert_eq!(parsed, Ok(names.iter().map(String::as_str).collect()));
    }

    #[test]
    fn permissions_make_the_round_trip(domain in any::<u16>(), index in 0_usize..4) {
        let access = [Access::None, Access::Read, Access::Write, Access::Both][index];
        let permission = Permission { domain: DomainId(domain), access };
        prop_assert_eq!(Permission::parse(&permission.to_string()), Ok(permission));
        let encoded = permission::encode(&[permission, permission]);
        prop_assert_eq!(strings(&encoded).count(), 2);
    }
}

#[test]
fn permissions_that_are_none_are_refused() {
    for text in ["", "r", "x5", "r-5", "r+5", "r65536", "r5 ", "5"] {
        assert_eq!(
            Permission::parse(text),
            Err(XenstoreError::Malformed),
            "{text:?}"
        );
    }
}
