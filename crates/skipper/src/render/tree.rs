//! A rollout while it happens: a tree that is redrawn on a terminal, a line for each change elsewhere.

use std::time::Duration;

use skipper_server::api::own::wire::{RolloutView, StepView};
use tokio::time::Instant;

use super::{Output, Paint, Style, lasted, tame, terminal_width, to_stderr};

/// Shows a rollout on standard error as it moves.
#[derive(Debug)]
pub(crate) struct Tree<'a> {
    out: &'a Output,
    unicode: bool,
    drawn: usize,
    frame: usize,
    last: Option<(RolloutView, Instant)>,
    remark: Option<String>,
}

impl<'a> Tree<'a> {
    /// Nothing drawn yet. `unicode`: the terminal shows more than ASCII.
    pub(crate) fn new(out: &'a Output, unicode: bool) -> Self {
        Self { out, unicode, drawn: 0, frame: 0, last: None, remark: None }
    }

    /// Whether it is worth redrawing while nothing arrives.
    pub(crate) fn is_live(&self) -> bool {
        self.out.live
    }

    /// Takes the newest state.
    pub(crate) fn update(&mut self, view: RolloutView) {
        self.remark = None;
        // A script of the shell is told how it ended, as the original does, and nothing in between.
        if !self.out.live && !self.out.guide {
            for line in changes(self.last.as_ref().map(|(before, _)| before), &view) {
                self.out.note(&tame(&line));
            }
        }
        self.last = Some((view, Instant::now()));
        self.redraw();
    }

    /// Says something about the connection, beside the tree.
    pub(crate) fn remark(&mut self, text: &str) {
        if self.remark.as_deref() != Some(text) {
            self.remark = Some(text.to_owned());
            if !self.out.live {
                self.out.note(text);
            }
            self.redraw();
        }
    }

    /// The newest state that was seen.
    pub(crate) fn last(&self) -> Option<&RolloutView> {
        self.last.as_ref().map(|(view, _)| view)
    }

    /// Draws it again, with the times as they are now.
    pub(crate) fn redraw(&mut self) {
        if !self.out.live {
            return;
        }
        let Some((view, seen)) = &self.last else { return };
        self.frame += 1;
        let look = Look { paint: self.out.paint_err, unicode: self.unicode, frame: self.frame };
        let mut lines = lines(view, seen.elapsed(), look);
        lines.extend(self.remark.as_ref().map(|text| look.paint.style(Style::Warn, text)));
        let (width, height) = (terminal_width().max(20), terminal_height().max(5));
        // What does not fit on the screen could not be drawn over again: the last lines matter most.
        let skip = lines.len().saturating_sub(height - 1);
        let mut text = String::new();
        if self.drawn > 0 {
            text.push_str(&format!("\x1b[{}A", self.drawn));
        }
        for line in &lines[skip..] {
            text.push_str("\r\x1b[2K");
            text.push_str(&cut(line, width - 1));
            text.push('\n');
        }
        text.push_str("\x1b[J");
        self.drawn = lines.len() - skip;
        to_stderr(&text);
    }
}

/// How it looks.
#[derive(Debug, Clone, Copy)]
struct Look {
    paint: Paint,
    unicode: bool,
    frame: usize,
}

impl Look {
    fn mark(self, state: &str) -> String {
        const SPINNER: [&str; 4] = ["◐", "◓", "◑", "◒"];
        const ASCII_SPINNER: [&str; 4] = ["|", "/", "-", "\\"];
        let (mark, style) = match (state, self.unicode) {
            ("done", true) => ("✓", Style::Good),
            ("done", false) => ("+", Style::Good),
            ("failed", true) => ("✗", Style::Bad),
            ("failed", false) => ("x", Style::Bad),
            ("undone", true) => ("↶", Style::Warn),
            ("undone", false) => ("<", Style::Warn),
            ("started" | "undoing", true) => (SPINNER[self.frame % 4], Style::Busy),
            ("started" | "undoing", false) => (ASCII_SPINNER[self.frame % 4], Style::Busy),
            (_, true) => ("·", Style::Dim),
            (_, false) => (".", Style::Dim),
        };
        self.paint.style(style, mark)
    }
}

fn title(view: &RolloutView) -> String {
    let target = view.to.map_or(String::new(), |to| format!(" to revision {to}"));
    let verb = match (view.verb.as_str(), view.to) {
        ("install", Some(_)) | ("delete", _) => view.verb.clone(),
        (verb, _) => format!("{verb}{target}"),
    };
    format!("{}: {verb}", view.release)
}

fn lines(view: &RolloutView, since: Duration, look: Look) -> Vec<String> {
    let paint = look.paint;
    let running = if view.finished { Duration::ZERO } else { since };
    let took = lasted(Duration::from_millis(view.duration_ms) + running);
    let style = Style::of_state(&view.phase).unwrap_or(Style::Strong);
    let mut lines = vec![format!(
        "{}  {} {}",
        paint.style(Style::Strong, &tame(&title(view))),
        paint.style(style, &view.phase),
        paint.style(Style::Dim, &took),
    )];
    let several = has_several_apps(view);
    for step in &view.steps {
        lines.push(format!("  {} {}", look.mark(&step.state), step_line(step, several, since, view.finished, paint)));
    }
    if view.cancel_requested && !view.finished {
        lines.push(format!("  {}", paint.style(Style::Warn, "somebody asked to cancel it")));
    }
    lines
}

fn has_several_apps(view: &RolloutView) -> bool {
    view.steps.first().is_some_and(|first| view.steps.iter().any(|step| step.app != first.app))
}

fn step_line(step: &StepView, several: bool, since: Duration, finished: bool, paint: Paint) -> String {
    let app = if several { format!("{}: ", step.app) } else { String::new() };
    let text = tame(&format!("{app}{}", step.text));
    let under_way = matches!(step.state.as_str(), "started" | "undoing");
    let mut line = if step.state == "pending" { paint.style(Style::Dim, &text) } else { text };
    if let Some(took) = step.duration_ms {
        let took = Duration::from_millis(took) + if under_way && !finished { since } else { Duration::ZERO };
        let bound = if under_way && step.bound_ms > 0 {
            format!(" of at most {}", lasted(Duration::from_millis(step.bound_ms)))
        } else {
            String::new()
        };
        line.push_str(&paint.style(Style::Dim, &format!("  {}{bound}", lasted(took))));
    }
    if let Some(message) = step.message.as_deref().filter(|message| !message.is_empty()) {
        let style = if step.state == "failed" { Style::Bad } else { Style::Dim };
        line.push_str("  ");
        line.push_str(&paint.style(style, &tame(message)));
    }
    line
}

/// What to say when no tree can be drawn.
fn changes(before: Option<&RolloutView>, now: &RolloutView) -> Vec<String> {
    let mut lines = Vec::new();
    if before.is_none() {
        lines.push(format!("{}: rollout {}", title(now), now.id));
    }
    let several = has_several_apps(now);
    for step in &now.steps {
        let was = before.and_then(|view| view.steps.get(step.index as usize)).map(|step| step.state.as_str());
        if was == Some(step.state.as_str()) || step.state == "pending" {
            continue;
        }
        let took = step.duration_ms.filter(|_| step.state != "started");
        let took = took.map_or(String::new(), |ms| format!(" ({})", lasted(Duration::from_millis(ms))));
        let message = step.message.as_deref().map_or(String::new(), |message| format!(": {message}"));
        let app = if several { format!("{}: ", step.app) } else { String::new() };
        lines.push(format!(
            "  {}/{} {app}{}: {}{took}{message}",
            step.index + 1,
            now.steps.len(),
            step.text,
            step.state
        ));
    }
    if before.map(|view| view.phase.as_str()) != Some(now.phase.as_str()) {
        lines.push(format!("  {}", now.phase));
    }
    lines
}

/// The first `width` visible columns of a painted line.
fn cut(line: &str, width: usize) -> String {
    let mut out = String::with_capacity(line.len());
    let (mut seen, mut escaped, mut was_cut) = (0, false, false);
    for c in line.chars() {
        if escaped {
            escaped = !c.is_ascii_alphabetic();
            out.push(c);
        } else if c == '\x1b' {
            escaped = true;
            out.push(c);
        } else if seen < width {
            seen += 1;
            out.push(c);
        } else {
            was_cut = true;
        }
    }
    if was_cut && out.contains('\x1b') {
        out.push_str("\x1b[0m");
    }
    out
}

fn terminal_height() -> usize {
    rustix::termios::tcgetwinsize(rustix::stdio::stderr())
        .ok()
        .map(|size| usize::from(size.ws_row))
        .filter(|rows| *rows > 0)
        .unwrap_or(24)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(index: u32, state: &str, took: Option<u64>) -> StepView {
        StepView {
            index,
            app: "web".into(),
            platform: "local".into(),
            action: "launch".into(),
            text: format!("step {index}"),
            state: state.into(),
            after_commit: false,
            bound_ms: 30_000,
            message: None,
            started_at: None,
            finished_at: None,
            duration_ms: took,
        }
    }

    fn view(phase: &str, steps: Vec<StepView>) -> RolloutView {
        RolloutView {
            id: "r1".into(),
            release: "web".into(),
            tenant: "default".into(),
            verb: "upgrade".into(),
            phase: phase.into(),
            finished: phase == "succeeded",
            cancel_requested: false,
            from: Some(1),
            to: Some(2),
            actor: "local".into(),
            trigger: "cli".into(),
            request_id: String::new(),
            correlation_id: String::new(),
            plan_hash: None,
            commit: None,
            steps,
            notices: Vec::new(),
            secrets: std::collections::BTreeMap::new(),
            cause: None,
            bundle: None,
            created_at: String::new(),
            started_at: None,
            finished_at: None,
            duration_ms: 1000,
        }
    }

    #[test]
    fn the_tree_shows_every_step_with_its_time_and_bound() {
        let look = Look { paint: Paint::new(false), unicode: false, frame: 0 };
        let view =
            view("advancing", vec![step(0, "done", Some(12)), step(1, "started", Some(500)), step(2, "pending", None)]);
        let got = lines(&view, Duration::from_millis(700), look);
        assert_eq!(
            got,
            [
                "web: upgrade to revision 2  advancing 1.7s",
                "  + step 0  12ms",
                "  | step 1  1.2s of at most 30.0s",
                "  . step 2",
            ]
        );
    }

    #[test]
    fn elsewhere_each_change_is_a_line_of_its_own() {
        let first = view("advancing", vec![step(0, "started", None), step(1, "pending", None)]);
        let second = view("advancing", vec![step(0, "done", Some(8)), step(1, "started", None)]);
        assert_eq!(
            changes(None, &first),
            ["web: upgrade to revision 2: rollout r1", "  1/2 step 0: started", "  advancing"]
        );
        assert_eq!(changes(Some(&first), &second), ["  1/2 step 0: done (8ms)", "  2/2 step 1: started"]);
        assert!(changes(Some(&second), &second).is_empty());
    }

    #[test]
    fn a_long_line_is_cut_by_what_is_seen_not_by_its_bytes() {
        assert_eq!(cut("abcdef", 3), "abc");
        assert_eq!(cut("\x1b[31mäöü\x1b[0mx", 3), "\x1b[31mäöü\x1b[0m\x1b[0m");
        assert_eq!(cut("ab", 3), "ab");
    }
}
