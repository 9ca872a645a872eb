//! What the hostagent has been told to do. Pure: requests and signals go in, and the present order
//! comes out.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::protocol::StopRequest;

/// The present order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Order {
    /// Keep the VM running.
    #[default]
    Run,
    /// End and leave the VM alone.
    Release,
    /// Stop the VM, then end.
    Stop {
        /// By then the VM is off.
        deadline: Instant,
        /// Do not ask the guest.
        force: bool,
    },
}

impl Order {
    /// Returns the order after a request to stop. A later request can only make it quicker; a stop
    /// comes before a release, because only one of them is possible after the other.
    fn stop(self, request: &StopRequest, now: Instant) -> Self {
        // A grace period beyond what the clock can count is no deadline at all; a year is enough.
        let grace = request.grace.min(Duration::from_secs(365 * 24 * 3600));
        let asked = now + grace;
        match self {
            Order::Stop { deadline, force } => {
                Order::Stop { deadline: deadline.min(asked), force: force || request.force }
            }
            Order::Run | Order::Release => Order::Stop { deadline: asked, force: request.force },
        }
    }

    /// Returns the order after a request to let go.
    fn release(self) -> Self {
        match self {
            Order::Run => Order::Release,
            other => other,
        }
    }
}

/// The orders, for those who give and those who follow them.
#[derive(Debug, Default)]
pub(crate) struct Orders(watch::Sender<Order>);

impl Orders {
    /// Takes a request to stop.
    pub(crate) fn stop(&self, request: &StopRequest) {
        self.0.send_modify(|order| *order = order.stop(request, Instant::now()));
    }

    /// Takes a request to let go. Returns whether it is followed: a stop has begun otherwise.
    pub(crate) fn release(&self) -> bool {
        self.0.send_modify(|order| *order = order.release());
        *self.0.borrow() == Order::Release
    }

    /// Returns the order, now and whenever it changes.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Order> {
        self.0.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_requests_make_it_quicker_only() {
        let now = Instant::now();
        let request = |seconds, force| StopRequest { grace: Duration::from_secs(seconds), force };
        let first = Order::Run.stop(&request(60, false), now);
        assert_eq!(first, Order::Stop { deadline: now + Duration::from_secs(60), force: false });
        assert_eq!(first.stop(&request(90, false), now), first);
        let quick = first.stop(&request(5, false), now);
        assert_eq!(quick, Order::Stop { deadline: now + Duration::from_secs(5), force: false });
        let forced = quick.stop(&request(90, true), now);
        assert_eq!(forced, Order::Stop { deadline: now + Duration::from_secs(5), force: true });
        assert_eq!(
            forced.stop(&request(1, false), now).release(),
            Order::Stop { deadline: now + Duration::from_secs(1), force: true }
        );
        assert!(matches!(Order::Run.stop(&request(u64::MAX, false), now), Order::Stop { .. }));
    }

    #[test]
    fn a_stop_comes_before_a_release() {
        let orders = Orders::default();
        assert!(orders.release());
        assert!(orders.release());
        orders.stop(&StopRequest::default());
        assert!(!orders.release());
        assert!(matches!(*orders.subscribe().borrow(), Order::Stop { .. }));
    }
}
