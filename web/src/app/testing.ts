/** What tests find in place of a browser: an empty storage before each, and an IndexedDB. */
import "fake-indexeddb/auto";
import { beforeEach } from "vitest";

beforeEach(() => {
  localStorage.clear();
  sessionStorage.clear();
});
