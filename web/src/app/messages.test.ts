import { describe, expect, it } from "vitest";
import { messages as shell } from "./messages";

type Tree = { [key: string]: string | Tree };
const sections = import.meta.glob<{ default: { fr: Tree; en: Tree } }>("../*/messages.ts", { eager: true });
const keys = (tree: Tree, before = ""): string[] =>
  Object.entries(tree).flatMap(([key, value]) => (typeof value === "string" ? [`${before}${key}`] : keys(value, `${before}${key}.`)));

const all = [["app", shell] as const, ...Object.entries(sections).flatMap(([path, found]) => (found.default ? [[path, found.default] as const] : []))];

describe.each(all)("the texts of %s", (_, texts) => {
  it("say the same things in both languages", () => {
    expect(keys(texts.en as Tree).sort()).toEqual(keys(texts.fr as Tree).sort());
  });
  it("have no empty word and the same places to fill in", () => {
    const places = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].map((found) => found[1]).sort().filter((name, index, list) => list.indexOf(name) === index);
    const at = (tree: Tree, key: string) => key.split(".").reduce<Tree | string>((so_far, part) => (so_far as Tree)[part]!, tree) as string;
    for (const key of keys(texts.fr as Tree)) {
      expect(at(texts.fr as Tree, key), key).not.toBe("");
      expect(places(at(texts.en as Tree, key)), key).toEqual(places(at(texts.fr as Tree, key)));
    }
  });
});
