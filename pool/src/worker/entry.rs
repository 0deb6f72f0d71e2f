//! Am I a worker? Asked before `main`.
//!
//! The linker puts [`ENTER`] among the constructors of every program that uses this library. In a program that
//! was started normally it looks for one environment variable and returns.

use crate::handshake::{self, Identity, Invitation, VARIABLE};
use crate::registry::MAINS;
use crate::sys::{process, signals};
use crate::transport::control::Helm;
use crate::worker::zygote;

#[used]
#[unsafe(link_section = ".init_array")]
static ENTER: extern "C" fn() = enter;

extern "C" fn enter() {
    // With `#[pool::main]` the program goes on, and serves from the top of its `main`.
    if std::env::var_os(VARIABLE).is_some() && MAINS.is_empty() {
        serve_if_invited();
    }
}

/// What `#[pool::main]` puts first in `main`: serves and does not return, if this process is to be a worker.
pub fn enter_main() {
    if std::env::var_os(VARIABLE).is_some() {
        serve_if_invited();
    }
}

fn serve_if_invited() {
    // An environment that somebody with fewer rights prepared decides nothing.
    if process::has_raised_rights() {
        return;
    }
    let invitation = std::env::var(VARIABLE).ok().and_then(|text| Invitation::from_text(&text));
    // SAFETY: this runs before `main` or first in it, so no other thread reads the environment.
    unsafe { std::env::remove_var(VARIABLE) };
    let Some(invitation) = invitation else { process::exit_at_once(handshake::EXIT_NOT_INVITED) };
    // It was so from the first moment, unless this is not the process that was invited.
    if !process::die_with_parent(invitation.parent) {
        process::exit_at_once(handshake::EXIT_NO_PARENT);
    }
    process::name_thread(c"pool-zygote");
    signals::set_up_worker();
    // Duplicate tasks were reported to the parent by its own table; it does not start workers then.
    let Ok(identity) = Identity::own() else { process::exit_at_once(handshake::EXIT_NOT_INVITED) };
    let helm = Helm::report_to(&invitation.server, invitation.token, identity).ok();
    if let Some((order, helm)) = helm.and_then(|helm| Some((helm.next()?, helm))) {
        zygote::obey_from(order, helm, invitation.parent);
    }
    process::exit_at_once(handshake::EXIT_NO_PARENT)
}
