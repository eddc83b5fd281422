use super::*;

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nbroken\nsandbox:x:998:997::/sandbox:/bin/sh\n";
const GROUP: &str = "root:x:0:\nsandbox:x:997:\nstaff:x:50:a,b\n";
const PERSON: Starter = Starter::Unprivileged {
    uid: 1000,
    gid: 1001,
};

fn resolve(user: Option<&str>, group: Option<&str>, starter: Starter) -> Result<Identity, String> {
    Identity::resolve(user, group, starter, PASSWD, GROUP).map_err(|failure| failure.to_string())
}

/// SBX-5
#[test]
fn a_named_user_brings_its_own_group_unless_one_is_named() {
    assert_eq!(
        resolve(Some("sandbox"), None, PERSON),
        Ok(Identity::Map { uid: 998, gid: 997 })
    );
    assert_eq!(
        resolve(Some("998"), Some("staff"), PERSON),
        Ok(Identity::Map { uid: 998, gid: 50 })
    );
    assert_eq!(
        resolve(Some("sandbox"), Some("7"), Starter::Privileged),
        Ok(Identity::Drop { uid: 998, gid: 7 })
    );
    assert_eq!(
        resolve(Some("4000"), None, Starter::Privileged),
        Ok(Identity::Drop {
            uid: 4000,
            gid: 4000
        })
    );
}

/// SBX-5
#[test]
fn without_a_name_the_caller_stays_who_it_is() {
    assert_eq!(
        resolve(None, None, PERSON),
        Ok(Identity::Map {
            uid: 1000,
            gid: 1001
        })
    );
}

/// SBX-5, TR-116
#[test]
fn root_must_name_a_user_and_is_told_how() {
    let text = resolve(None, None, Starter::Privileged).unwrap_err();
    assert!(
        text.contains("--user") && text.contains("process.run_as_user"),
        "{text}"
    );
}

/// SBX-5
#[test]
fn an_unknown_name_is_not_found() {
    assert!(
        resolve(Some("nosuch"), None, PERSON)
            .unwrap_err()
            .contains("not found")
    );
    assert!(
        resolve(None, Some("nosuch"), PERSON)
            .unwrap_err()
            .contains("not found")
    );
}

/// SBX-5
#[test]
fn uid_0_is_refused_however_it_is_spelled() {
    for user in ["root", "0", "00"] {
        assert!(
            resolve(Some(user), Some("staff"), PERSON).is_err(),
            "{user}"
        );
        assert!(
            resolve(Some(user), Some("staff"), Starter::Privileged).is_err(),
            "{user}"
        );
    }
    assert!(resolve(Some("sandbox"), Some("root"), Starter::Privileged).is_err());
}
