//! The tests of the platforms, once more over a wire: what holds of a platform that is here holds of one that is not.

use std::cell::Cell;

use skipper_platform::container::EngineKind;

use crate::container::{self, world::Engine};

thread_local! {
    static SIDE: Cell<Side> = const { Cell::new(Side::Here) };
}

/// From where a test asks its platforms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Here,
    Far,
}

impl Side {
    /// Of the test that runs on this thread.
    pub(crate) fn now() -> Self {
        SIDE.get()
    }

    /// For the rest of this test.
    pub(crate) fn take(self) -> Taken {
        SIDE.set(self);
        Taken
    }
}

/// Tests that come later on the same thread are on this side again.
pub(crate) struct Taken;

impl Drop for Taken {
    fn drop(&mut self) {
        SIDE.set(Side::Here);
    }
}

/// Makes two tests of each function: on the platform itself, and over a wire.
macro_rules! here_and_far {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            #[tokio::test]
            async fn here() {
                super::$name().await;
            }

            #[tokio::test]
            async fn over_a_wire() {
                let _side = $crate::remote::Side::Far.take();
                super::$name().await;
            }
        }
    )*};
}
pub(crate) use here_and_far;

/// Tests of containers on Docker, over a wire.
macro_rules! containers_far {
    ($($file:ident: $($name:ident),*;)*) => {$($(
        #[tokio::test]
        async fn $name() {
            if let Some(host) = container::world::host(EngineKind::Docker) {
                let _side = Side::Far.take();
                container::$file::$name::test(Engine::open(EngineKind::Docker, &host).await).await;
            }
        }
    )*)*};
}

containers_far! {
    garbage:
        a_job_of_which_nothing_else_is_left_goes_with_its_deployment,
        what_a_container_uses_or_somebody_has_just_asked_for_stays;
    images:
        an_image_is_pinned_and_stays_what_it_was_when_its_tag_moves_on,
        an_image_that_is_not_here_is_refused_by_the_rule;
    launching:
        a_container_finds_its_environment_and_is_reached_at_a_loopback_port,
        a_lower_generation_is_fenced_and_changes_nothing,
        an_application_for_springs_deployers_is_told_what_it_is_told_as_a_process,
        everything_of_ours_is_listed_and_orphans_go,
        it_is_stopped_by_its_signal_and_killed_after_its_grace,
        launching_again_returns_what_runs_also_by_another_server,
        secrets_are_variables_or_files_of_the_user_and_in_no_label,
        twenty_launches_at_once_have_ports_of_their_own,
        volumes_outlive_their_container,
        what_another_program_started_is_found_by_its_labels_and_removed_and_nothing_of_ours_is,
        what_ended_is_told_and_started_again_as_it_was;
    reading:
        a_hook_runs_once_however_often_it_is_asked_for,
        commands_run_within_and_are_ended_with_their_time,
        following_goes_on_over_a_restart_and_ends_with_the_container,
        health_is_asked_at_the_loopback_port_or_within,
        lines_of_both_streams_come_in_order_and_long_ones_whole;
    trouble:
        changed_resolves_when_a_container_ends,
        more_memory_than_the_limit_is_told_as_such,
        what_cannot_be_started_says_why;
}
