//! Several of the same agent at once.

use crate::agent::{Agent, each_agent};
use crate::room::Room;

each_agent!(four_at_once_in_a_fresh_home_all_complete);

fn four_at_once_in_a_fresh_home_all_complete(agent: Agent) {
    let Some(room) = Room::new(agent) else { return };
    let ids: Vec<String> = (0..4).map(|_| room.launch("asks", &[])).collect();
    for id in &ids {
        room.ends(id, "completed");
    }
}
