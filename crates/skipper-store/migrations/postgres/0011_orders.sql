-- Orders that ended long ago are found without looking at the others, and so are rollouts that are to be cancelled.
CREATE INDEX work_order_ended ON work_order (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX rollout_to_cancel ON rollout (id) WHERE slot = 'open' AND cancel_requested = 1;
