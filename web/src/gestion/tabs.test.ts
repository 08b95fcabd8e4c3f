import { describe, expect, it } from "vitest";
import { definesProducts, definesStores, tabsOf } from "./tabs";

describe("tabs", () => {
  it("gives a cashier the counts and nothing else", () => {
    expect(tabsOf({ username: "c", role: "caissier", stores: ["plateau"] })).toEqual(["comptages"]);
  });
  it("keeps accounts and webhooks for administrators of the whole chain", () => {
    expect(tabsOf({ username: "a", role: "admin", stores: ["*"] })).toContain("utilisateurs");
    expect(tabsOf({ username: "a", role: "admin", stores: ["plateau"] })).not.toContain("utilisateurs");
    expect(tabsOf({ username: "g", role: "gestionnaire", stores: ["*"] })).not.toContain("webhooks");
  });
  it("lets nobody of one store change what belongs to the chain", () => {
    expect(definesProducts({ username: "g", role: "gestionnaire", stores: ["plateau"] })).toBe(false);
    expect(definesProducts({ username: "g", role: "gestionnaire", stores: ["*"] })).toBe(true);
    expect(definesStores({ username: "g", role: "gestionnaire", stores: ["*"] })).toBe(false);
  });
});
