//! What a SIGHUP means.

use signal_hook::low_level::siginfo::Sent;

use super::*;

/// LIV-11, and decision 0014: a terminal that is gone ends a session as it always did.
#[test]
fn a_hang_up_is_told_from_a_wish_to_reload() {
    let user = Cause::Sent(Sent::User);
    // Without a terminal every process that asks is heard.
    let mut terminal = Terminal::None;
    assert_eq!(meaning(user, &mut terminal, Terminal::None), Hup::Reload);
    // With one, as long as it is there.
    let mut terminal = Terminal::Present;
    assert_eq!(meaning(user, &mut terminal, Terminal::Present), Hup::Reload);
    // A shell that lost its terminal passes the news on: a process sends it, and the terminal is gone.
    assert_eq!(meaning(user, &mut terminal, Terminal::None), Hup::HangUp);
    // A command that outlived that can be told to reload afterwards.
    assert_eq!(meaning(user, &mut terminal, Terminal::None), Hup::Reload);
    // The kernel speaks of terminals only, and may do so before it takes ours away.
    let mut terminal = Terminal::Present;
    assert_eq!(
        meaning(Cause::Kernel, &mut terminal, Terminal::Present),
        Hup::HangUp
    );
}
