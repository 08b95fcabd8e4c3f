/** What would wait in this browser if the person left now? */

import { Outbox } from "./outbox";
import { openStorage } from "./storage";
import { works } from "./till";

/** How many commands were kept and not sent, whichever page is open. */
export async function owed(): Promise<number> {
  const open = works.value;
  if (open !== null) return open.outbox.waiting();
  const storage = await openStorage();
  try {
    return await new Outbox(storage).waiting();
  } finally {
    storage.close();
  }
}
