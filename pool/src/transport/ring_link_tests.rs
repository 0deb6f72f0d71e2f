use super::*;
use crate::share::original::Home;
use crate::transport::segment::{Mapped, Missing};

fn link() -> (RingLink, WorkerEnd) {
    let bell = ParentBell::new().unwrap();
    RingLink::new(&bell, &Stock::new(1)).unwrap()
}

#[test]
fn what_is_forgotten_leaves_room_for_what_is_answered() {
    let (mut link, _end) = link();
    let mut forgotten = 0;
    while link.try_send(FrameHeader::new(Kind::Forget), &[]).unwrap().is_some() {
        forgotten += 1;
    }
    assert!(forgotten > 1000);
    let body = vec![0; RingLink::MAX_BODY];
    assert!(link.try_send(FrameHeader::new(Kind::Run), &body).unwrap().is_some());
}

#[test]
fn a_shared_value_is_found_though_there_is_no_room_for_what_comes_behind_it() {
    let (mut link, end) = link();
    let share = Original::new(b"shared", Arc::new(Home::new())).unwrap();
    assert!(link.try_share(&share).unwrap());
    link.parcels.send(control::Parcel::Room { id: 1, len: 1 << 60 }).unwrap();
    let mut mapped = Mapped::default();
    assert!(mapped.take_share(share.id(), &end.parcels).is_ok());
    mapped.unpack(&end.parcels).unwrap();
    assert!(matches!(mapped.find(1, 1), Err(Missing::NoRoom(_))));
}
