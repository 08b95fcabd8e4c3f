import { describe, expect, it } from "vitest";
import { shortNames } from "./names";

const names = (...all: string[]) => [...shortNames(all.map((name, place) => ({ store_id: String(place), name }))).values()];

describe("a short name", () => {
  it("leaves out the word that all begin with", () => {
    expect(names("Magasin Verdun", "Magasin Vieux-Longueuil")).toEqual(["Verdun", "Vieux-Longueuil"]);
  });

  it("stays whole where they begin differently, stand alone, or would have nothing left", () => {
    expect(names("Magasin Verdun", "Dépôt Laval")).toEqual(["Magasin Verdun", "Dépôt Laval"]);
    expect(names("Magasin Verdun")).toEqual(["Magasin Verdun"]);
    expect(names("Magasin", "Magasin Verdun")).toEqual(["Magasin", "Magasin Verdun"]);
  });
});
