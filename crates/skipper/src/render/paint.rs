/// How something is shown. The words never depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// A heading.
    Strong,
    /// Less important.
    Dim,
    /// It is as it should be.
    Good,
    /// It needs attention.
    Warn,
    /// It is broken.
    Bad,
    /// It is being worked on.
    Busy,
}

/// Adds colour, or does not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    /// With or without colour.
    pub(crate) const fn new(on: bool) -> Self {
        Self { on }
    }

    /// The text, painted.
    pub(crate) fn style(self, style: Style, text: &str) -> String {
        if !self.on || text.is_empty() {
            return text.to_owned();
        }
        let code = match style {
            Style::Strong => "1",
            Style::Dim => "2",
            Style::Good => "32",
            Style::Warn => "33",
            Style::Bad => "31",
            Style::Busy => "36",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

impl Style {
    /// The style of a state or phase word.
    pub(crate) fn of_state(word: &str) -> Option<Self> {
        match word {
            "live" | "succeeded" | "healthy" | "done" | "running" | "serving" | "ok" | "open" => Some(Self::Good),
            "failed" | "unhealthy" | "exited" | "undone" => Some(Self::Bad),
            "degraded" | "unknown" | "cancelled" | "undoing" | "held" | "maintenance" | "absent" => Some(Self::Warn),
            "pending" | "waiting" | "accepted" | "resolving" | "advancing" | "finishing" | "started" | "starting" => {
                Some(Self::Busy)
            }
            "superseded" | "deleted" => Some(Self::Dim),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_colour_a_text_stays_as_it_is() {
        assert_eq!(Paint::new(false).style(Style::Bad, "failed"), "failed");
        assert_eq!(Paint::new(true).style(Style::Bad, "failed"), "\x1b[31mfailed\x1b[0m");
    }
}
