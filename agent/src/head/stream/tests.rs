use proptest::prelude::*;

use super::*;

#[test]
fn bytes_come_in_order_whatever_the_order_of_the_segments() {
    let mut stream = Stream::new(u32::MAX - 2);
    assert!(stream.insert(u32::MAX - 2, b"ab").is_none());
    assert!(stream.insert(4, b"hij").is_none());
    assert_eq!(stream.ready(), b"ab");
    assert!(stream.insert(u32::MAX, b"cdefgh").is_none());
    assert_eq!(stream.ready(), b"abcdefghij");
}

#[test]
fn of_a_request_that_has_gone_on_by_itself_only_the_body_comes_back() {
    let mut stream = Stream::new(100);
    stream.insert(100, b"he");
    stream.insert(103, b"dbo");
    stream.insert(107, b"yNEXT");
    let held = stream.skip_request(Zeroizing::new(b"HEAD".to_vec()), 4);
    let held: Vec<_> = held
        .iter()
        .map(|piece| (piece.sequence, piece.bytes.as_slice()))
        .collect();
    assert_eq!(held, [(104, b"bo".as_slice()), (107, b"y")]);
    assert_eq!(
        (stream.sequence(), stream.ready()),
        (108, b"NEXT".as_slice())
    );
    let again = stream.insert(100, b"head").unwrap();
    assert_eq!(again.bytes.as_slice(), b"HEAD");
}

#[test]
fn a_retransmission_of_a_rewritten_head_comes_back_rewritten_from_the_heads_start_on() {
    let mut stream = Stream::new(100);
    stream.insert(100, b"headbody");
    stream.replace(Zeroizing::new(b"HEAD".to_vec()));
    stream.pass(4);
    let again = stream.insert(102, b"adbo").unwrap();
    assert_eq!(
        (again.sequence, again.bytes.as_slice()),
        (100, b"HEADbo".as_slice())
    );
    assert!(stream.ready().is_empty());
}

#[test]
fn a_segment_may_repeat_old_bytes_and_bring_new_ones() {
    let mut stream = Stream::new(0);
    stream.insert(0, b"abc");
    stream.pass(3);
    let again = stream.insert(1, b"bcde").unwrap();
    assert_eq!(again.bytes.as_slice(), b"bc");
    assert_eq!(stream.ready(), b"de");
}

#[test]
fn bytes_that_pass_by_themselves_are_gone_over() {
    let mut stream = Stream::new(0);
    stream.insert(8, b"next");
    assert!(stream.skip(8).is_empty());
    assert_eq!(stream.ready(), b"next");
    assert_eq!(stream.sequence(), 8);
}

#[test]
fn bytes_held_behind_a_gap_do_not_stay_behind_when_they_are_gone_over() {
    let mut stream = Stream::new(u32::MAX);
    stream.insert(u32::MAX, b"a");
    stream.pass(1);
    stream.insert(2, b"cd");
    stream.insert(6, b"ghij");
    let skipped = stream.skip(8);
    let places: Vec<(u32, &[u8])> = skipped
        .iter()
        .map(|piece| (piece.sequence, piece.bytes.as_slice()))
        .collect();
    assert_eq!(places, [(2, b"cd".as_slice()), (6, b"gh")]);
    assert_eq!((stream.sequence(), stream.ready()), (8, b"ij".as_slice()));
}

#[test]
fn large_heads_that_have_gone_on_are_remembered_as_far_as_their_bytes_have_room() {
    let head = |length: usize| Zeroizing::new(vec![b'H'; length]);
    let mut stream = Stream::new(0);
    let mut next = 0;
    for length in [HISTORY_LEN / 4; 8] {
        stream.insert(next, &head(length));
        stream.replace(head(length));
        next += length as u32;
        assert!(stream.held() <= HISTORY_LEN);
    }
    assert_eq!(stream.held(), HISTORY_LEN);
    assert!(stream.insert(next / 2 - 1, b"h").is_none(), "forgotten");
    let again = stream.insert(next / 2, b"h").unwrap();
    assert_eq!(again.bytes.as_slice(), b"H");
    // The newest stays, however large, and takes nothing of the room of what waits.
    stream.insert(next, &head(CAPACITY));
    stream.replace(head(CAPACITY));
    assert_eq!(stream.held(), CAPACITY);
    stream.insert(next + CAPACITY as u32, &head(CAPACITY));
    assert_eq!(stream.take_dropped(), 0);
}

#[test]
fn a_head_that_the_gateway_has_received_is_forgotten() {
    let mut stream = Stream::new(u32::MAX - 1);
    for sequence in [u32::MAX - 1, 4] {
        stream.insert(sequence, b"headbo");
        stream.replace(Zeroizing::new(b"HEAD".to_vec()));
        stream.pass(2);
    }
    stream.forget_before(1);
    assert_eq!(
        stream.held(),
        8,
        "not all of the first is known to be there"
    );
    stream.forget_before(4);
    assert_eq!(stream.held(), 4);
    assert!(stream.insert(u32::MAX - 1, b"head").is_none());
    let again = stream.insert(4, b"head").unwrap();
    assert_eq!(again.bytes.as_slice(), b"HEAD");
}

#[test]
fn more_than_the_capacity_is_left_to_the_client() {
    let mut stream = Stream::new(0);
    stream.insert(0, &vec![1; CAPACITY]);
    stream.insert(u32::try_from(CAPACITY).unwrap(), b"x");
    assert_eq!(stream.ready().len(), CAPACITY);
    assert_eq!((stream.take_dropped(), stream.take_dropped()), (1, 0));
}

#[test]
fn more_pieces_behind_a_gap_than_are_kept_are_left_to_the_client() {
    let mut stream = Stream::new(0);
    for piece in 0..2 * PIECES as u32 {
        stream.insert(1 + 2 * piece, b"x");
    }
    assert_eq!(stream.held(), PIECES);
    assert_eq!(stream.take_dropped(), PIECES as u64);
    // What fills the gap has room all the same.
    stream.insert(0, b"a");
    assert_eq!(stream.ready(), b"ax");
}

#[test]
fn a_rewritten_head_is_known_by_any_part_of_it_and_nothing_else_is() {
    let mut stream = Stream::new(u32::MAX - 1);
    stream.insert(u32::MAX - 1, b"headbody");
    stream.replace(Zeroizing::new(b"HEAD".to_vec()));
    stream.pass(4);
    assert!(stream.repeats_head(u32::MAX - 1, 1) && stream.repeats_head(1, 9));
    assert!(stream.repeats_head(u32::MAX - 5, 5));
    assert!(!stream.repeats_head(u32::MAX - 5, 4) && !stream.repeats_head(2, 4));
}

proptest! {
    #[test]
    fn any_cuts_in_any_order_give_the_same_bytes(
        base in any::<u32>(),
        order in Just((0..40_usize).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let text: Vec<u8> = (0..200).collect();
        let mut stream = Stream::new(base);
        // The first byte is where the stream starts, so that it is held first.
        stream.insert(base, &text[..1]);
        for piece in order {
            let (start, end) = (piece * 5, (piece * 5 + 9).min(text.len()));
            stream.insert(base.wrapping_add(start as u32), &text[start..end]);
        }
        prop_assert_eq!(stream.ready(), text.as_slice());
    }
}
