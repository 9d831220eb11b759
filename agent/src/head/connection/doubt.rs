//! What waits for the gateway's answer to what came before, and connections that are left to the programs.
use super::{Connection, Doubt, State};
use crate::head::{
    action::{Action, Actions},
    inside::{self, Inside},
    rest::Rest,
    stream::Stream,
    target::Target,
};

impl Connection {
    /// The gateway has answered what came before: what waits for that is a request sent ahead. A connection that was to be
    /// left with that answer is left.
    pub fn answered(&mut self) -> Vec<Action> {
        self.is_body = false;
        if self.may_leave() {
            self.state = State::Left { at_start: true };
            self.to_leave = false;
        }
        self.take_for_requests()
    }

    /// Whether the last request has gone on and holds no lease, and nothing more has come.
    pub(super) fn may_leave(&self) -> bool {
        let is_empty = self.stream.as_ref().is_some_and(Stream::is_empty);
        self.to_leave && is_empty && matches!(self.state, State::Head)
    }

    /// What waits for the gateway's answer is a request, whether that comes or not.
    pub fn take_for_requests(&mut self) -> Vec<Action> {
        let mut actions = Actions::default();
        if let State::Doubtful(doubt) = self.state {
            self.state = match doubt {
                Doubt::Start => State::Head,
                Doubt::Line => State::Rest(Rest::of_line()),
                Doubt::Lines => State::Rest(Rest::inside()),
            };
            self.go_on(&mut actions);
        }
        actions.into()
    }

    /// Whether what is held waits for the gateway's answer to what came before.
    #[must_use]
    pub fn is_doubtful(&self) -> bool {
        matches!(self.state, State::Doubtful(_))
    }

    /// Whether something before it was taken for a body that looked like a request, so that this is one, too.
    #[must_use]
    pub fn is_body(&self) -> bool {
        self.is_body
    }

    /// The functions that are called by what waits for that answer, if it is requests.
    pub fn doubtful_calls(&self) -> impl Iterator<Item = Target> {
        let waiting = self.stream.as_ref().filter(|_| self.is_doubtful());
        waiting.into_iter().flat_map(|it| inside::calls(it.ready()))
    }

    /// Lets a segment wait for the gateway's answer to what came before, from where it may hold a request on: what comes
    /// before that may be what the gateway waits for.
    pub(super) fn doubt(&mut self, actions: &mut Actions) {
        let Some(stream) = &mut self.stream else {
            return;
        };
        let (start, doubt) = match inside::look(stream.ready(), &self.key_headers) {
            Inside::Call(start) => (start, Doubt::Start),
            Inside::Line => (0, Doubt::Line),
            Inside::Lines(start) => (start, Doubt::Lines),
            Inside::Neither => return self.leave(actions),
        };
        actions.release(stream.pass(start as u64));
        self.state = State::Doubtful(doubt);
    }

    /// Takes a connection back that was left, if there is something of it that has not gone on.
    pub(super) fn take_back(&mut self, at_start: bool, actions: &mut Actions) {
        let Some(stream) = &mut self.stream else {
            return;
        };
        if stream.ready().is_empty() {
            // The programs may have taken it for a request.
            actions.push(Action::Opaque);
            return;
        }
        let (start, end) = (stream.sequence(), stream.sequence());
        actions.push(Action::PassWindow { start, end });
        if at_start {
            self.state = State::Head;
            self.go_on(actions);
        } else {
            self.doubt(actions);
        }
    }

    /// Lets what is held go on, and leaves the connection to the programs, wherever in a request it may be.
    pub(super) fn leave(&mut self, actions: &mut Actions) {
        self.state = State::Left { at_start: false };
        if let Some(stream) = &mut self.stream {
            // What lies before the pieces behind a gap has passed by itself.
            actions.release(stream.pass(u64::MAX));
            actions.release(stream.skip(stream.length_ahead()));
        }
        actions.push(Action::Opaque);
    }
}
