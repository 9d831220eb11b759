use tokio::{sync::oneshot, task::JoinHandle};

use super::*;
use crate::{
    lease::{
        FunctionStatus, Phase,
        example::{flow, id},
    },
    openfaas::{FaasCli, Gateway},
    rebuild::{Host, ServedSlots, UnlockedNames, example},
    script,
    seal::{folder::seal_folder, key::Key},
    spot::{AdmissionKey, Options, ReleaseSign, Spotter},
    state::StateDir,
};

/// How long what happens at once may take on a busy host.
const SOON: Duration = Duration::from_secs(20);
/// Deployments hang until they are let go, and come to nothing.
const HANGS: &str = "[ $1 = deploy ] || exit 0\n\
    touch \"$0.hangs\"; while [ ! -e \"$0.go\" ]; do sleep 0.01; done; exit 1";

/// A driver that runs, for a function of which nothing is parked.
struct Rig {
    folder: tempfile::TempDir,
    messages: mpsc::UnboundedSender<Message>,
    verdicts: mpsc::UnboundedReceiver<Verdict>,
    timelines: mpsc::UnboundedReceiver<Timeline>,
    driver: JoinHandle<()>,
}

impl Rig {
    fn new(faas_cli: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("handler.py"), "").unwrap();
        seal_folder(folder.path(), "pydict", &key(), 1).unwrap();
        let program = script::write(&folder.path().join("faas-cli"), faas_cli);
        let config = Config {
            unlock_timeout: 10 * SOON.as_secs(),
            ..Config::default()
        };
        let host = Host {
            faas: Arc::new(FaasCli::new(&program, "http://g", None).unwrap()),
            gateway: Arc::new(Gateway::new("http://g", None).unwrap()),
            names: UnlockedNames::of_host(&StateDir::new(folder.path())).unwrap(),
            served: ServedSlots::default(),
            standby: 0,
            isolated: 1,
            purge_command: None,
        };
        let (messages, inbox) = mpsc::unbounded_channel();
        let (verdict, verdicts) = mpsc::unbounded_channel();
        let (timeline, timelines) = mpsc::unbounded_channel();
        let driver = Driver::new(
            Arc::new(Rebuilder::new(example::function(folder.path()), host)),
            &config,
            admissions(&config),
            verdict,
            timeline,
        );
        Self {
            folder,
            messages,
            verdicts,
            timelines,
            driver: tokio::spawn(driver.run(inbox)),
        }
    }

    fn tell(&self, message: Message) {
        assert!(self.messages.send(message).is_ok());
    }

    fn request(&self) {
        self.tell(Message::Request(Request {
            flow: flow(1),
            id: id(),
            key: key(),
            next_key: None,
            held: 0,
        }));
    }

    async fn status(&self) -> FunctionStatus {
        let (reply, status) = oneshot::channel();
        self.tell(Message::Status(reply));
        status.await.unwrap()
    }

    /// Waits until something is so.
    async fn until(&self, is_so: impl Fn(&FunctionStatus) -> bool) -> FunctionStatus {
        let look = async {
            loop {
                let status = self.status().await;
                if is_so(&status) {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(SOON, look).await.unwrap()
    }

    /// A caller has come, for whom a container is being deployed.
    async fn unlocking(&self) {
        self.request();
        let hangs = self.folder.path().join("faas-cli.hangs");
        self.until(|_| hangs.exists()).await;
    }

    fn let_go(&self) {
        std::fs::write(self.folder.path().join("faas-cli.go"), "").unwrap();
    }
}

fn key() -> Key {
    Key::from_bytes([7; 32])
}

/// Of programs that are loaded, and attached nowhere.
fn admissions(config: &Config) -> Arc<Admissions> {
    let mut spotter = Spotter::load(&Options {
        port: config.port,
        key_header: config.key_header.clone(),
        next_key_header: config.next_key_header(),
        release: ReleaseSign::random().unwrap(),
        admission: AdmissionKey::random().unwrap(),
    })
    .expect("the programs load (needs root)");
    Arc::new(spotter.admissions().unwrap())
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, what).await.unwrap()
}

#[tokio::test]
async fn a_stop_waits_for_no_unlock_whose_caller_was_told_that_it_failed() {
    let mut rig = Rig::new(HANGS);
    rig.unlocking().await;
    rig.tell(Message::Quit);
    let told = soon(rig.verdicts.recv()).await.unwrap();
    assert!(matches!(told.outcome, Err(Refusal::RebuildFailed)));
    let status = rig.until(|it| it.phase == Phase::Locked).await;
    assert_eq!(status.last_error, None, "it was ended on purpose");
    let timeline = soon(rig.timelines.recv()).await.unwrap();
    let steps: Vec<Step> = timeline.steps.iter().map(|(step, _)| *step).collect();
    assert!(steps.ends_with(&[
        Step::Opened,
        Step::Closed,
        Step::Wiped,
        Step::Reencrypted,
        Step::Removed
    ]));
    rig.let_go();
    soon(rig.driver).await.unwrap();
}

#[tokio::test]
async fn who_has_everything_locked_waits_for_no_unlock_and_who_comes_next_has_one_of_their_own() {
    let mut rig = Rig::new(HANGS);
    rig.unlocking().await;
    let (waiter, mut failures) = mpsc::unbounded_channel();
    rig.tell(Message::Lock(waiter));
    rig.request();
    assert_eq!(soon(failures.recv()).await, None, "nothing has failed");
    let told = soon(rig.verdicts.recv()).await.unwrap();
    assert!(matches!(told.outcome, Err(Refusal::RebuildFailed)));
    let status = rig.until(|it| it.unlocks == 2).await;
    assert_eq!((status.phase, status.connections), (Phase::Unlocking, 1));
    assert!(rig.verdicts.try_recv().is_err(), "it waits");
    rig.tell(Message::Quit);
    rig.let_go();
    soon(rig.driver).await.unwrap();
}
