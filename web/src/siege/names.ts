/** Names of stores where there is little room: without the word that all of them begin with ("Magasin Verdun" is "Verdun"). */
export function shortNames(stores: readonly { store_id: string; name: string }[]): Map<string, string> {
  const words = stores.map(({ name }) => name.split(" "));
  const first = words[0]?.[0];
  const common = stores.length > 1 && first !== undefined && words.every((each) => each.length > 1 && each[0] === first);
  return new Map(stores.map(({ store_id, name }) => [store_id, common ? name.slice(first.length + 1) : name]));
}
