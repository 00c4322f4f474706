//! Breaking the world at one chosen call.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use skipper_core::port::{Error, ErrorKind};

const POISONED: &str = "nothing panics while it holds this lock";

/// What happens at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It has no effect and answers with an error of this kind.
    Fail(ErrorKind),
    /// It has its effect, and the answer is lost: an error of kind unknown.
    LoseAnswer,
    /// The server dies before it has its effect.
    CrashBefore,
    /// The server dies after it had its effect, before it hears of it.
    CrashAfter,
    /// It has its effect, then the server dies, and what is stored of every open rollout becomes unreadable.
    Scribble,
    /// It never answers and has no effect.
    Hang,
    /// Before it, another server takes the lease of every open rollout.
    TakeLease,
    /// Before it, somebody asks to cancel every open rollout.
    Cancel,
}

/// One call to a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Which server made it: 1, 2, …
    pub server: u32,
    /// The port and its method: `platform.launch`.
    pub what: &'static str,
    /// What it was about.
    pub detail: String,
}

#[derive(Default)]
struct Inner {
    calls: Vec<Call>,
    faults: BTreeMap<usize, Fault>,
    servers: u32,
    happened: Vec<(usize, Fault)>,
}

/// Which calls were made and which ones break. Shared by all fakes of a world.
#[derive(Clone, Default)]
pub struct Script {
    inner: Arc<Mutex<Inner>>,
    outside: Arc<Mutex<Vec<Outside>>>,
}

type Outside = Box<dyn Fn(Fault) + Send>;

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Script")
    }
}

impl Script {
    /// The call with that number (from 0) breaks.
    pub fn at(&self, call: usize, fault: Fault) {
        self.inner.lock().expect(POISONED).faults.insert(call, fault);
    }

    /// Every call so far.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.inner.lock().expect(POISONED).calls.clone()
    }

    /// How many calls were made so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.inner.lock().expect(POISONED).calls.len()
    }

    fn happen(&self, fault: Fault) {
        for act in self.outside.lock().expect(POISONED).iter() {
            act(fault);
        }
    }

    /// The faults that came about.
    #[must_use]
    pub fn happened(&self) -> Vec<(usize, Fault)> {
        self.inner.lock().expect(POISONED).happened.clone()
    }

    /// The gate through which a new server's calls go.
    #[must_use]
    pub fn new_server(&self) -> Gate {
        let mut inner = self.inner.lock().expect(POISONED);
        inner.servers += 1;
        Gate { script: Some(self.clone()), server: inner.servers, dead: Arc::default() }
    }

    /// Who carries out the faults that come from elsewhere: [`Fault::TakeLease`], [`Fault::Cancel`].
    pub(crate) fn outside(&self, act: impl Fn(Fault) + Send + 'static) {
        self.outside.lock().expect(POISONED).push(Box::new(act));
    }
}

/// Lets a server's calls through, until it is dead.
#[derive(Debug, Clone, Default)]
pub struct Gate {
    script: Option<Script>,
    server: u32,
    dead: Arc<Mutex<bool>>,
}

/// A call on its way.
#[derive(Debug)]
pub(crate) struct Passing<'a> {
    gate: &'a Gate,
    fault: Option<Fault>,
}

impl Gate {
    /// A gate at which nothing ever happens, for fakes used on their own.
    #[must_use]
    pub fn open() -> Self {
        Self::default()
    }

    /// Whether the server behind it was killed.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        *self.dead.lock().expect(POISONED)
    }

    /// Kills the server: none of its calls ever returns or has an effect again.
    pub fn kill(&self) {
        *self.dead.lock().expect(POISONED) = true;
    }

    /// Before the effect.
    pub(crate) async fn enter(&self, what: &'static str, detail: impl Into<String>) -> Result<Passing<'_>, Error> {
        if self.is_dead() {
            return std::future::pending().await;
        }
        let Some(script) = &self.script else { return Ok(Passing { gate: self, fault: None }) };
        let fault = {
            let mut inner = script.inner.lock().expect(POISONED);
            let number = inner.calls.len();
            inner.calls.push(Call { server: self.server, what, detail: detail.into() });
            let fault = inner.faults.get(&number).copied();
            inner.happened.extend(fault.map(|fault| (number, fault)));
            fault
        };
        match fault {
            Some(Fault::Fail(kind)) => Err(Error::new(kind, "injected", format!("{what} was made to fail"))),
            Some(Fault::CrashBefore) => {
                self.kill();
                std::future::pending().await
            }
            Some(Fault::Hang) => std::future::pending().await,
            Some(outside @ (Fault::TakeLease | Fault::Cancel)) => {
                script.happen(outside);
                Ok(Passing { gate: self, fault: None })
            }
            Some(fault @ (Fault::LoseAnswer | Fault::CrashAfter | Fault::Scribble)) => {
                Ok(Passing { gate: self, fault: Some(fault) })
            }
            None => Ok(Passing { gate: self, fault: None }),
        }
    }
}

impl Passing<'_> {
    /// After the effect.
    pub(crate) async fn leave<T>(self, answer: Result<T, Error>) -> Result<T, Error> {
        match self.fault {
            Some(fault @ (Fault::CrashAfter | Fault::Scribble)) => {
                self.gate.kill();
                if let Some(script) = self.gate.script.as_ref().filter(|_| fault == Fault::Scribble) {
                    script.happen(fault);
                }
                std::future::pending().await
            }
            Some(Fault::LoseAnswer) => {
                Err(Error::new(ErrorKind::Unknown, "injected", "the answer was made to be lost"))
            }
            _ => answer,
        }
    }
}
