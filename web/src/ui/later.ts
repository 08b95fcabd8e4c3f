/** A component that is fetched when it is needed first; a line that breaks just then is tried again before anybody sees a hole. */
import { defineAsyncComponent } from "vue";
import type { Component } from "vue";

const ATTEMPTS = 4;
const FIRST_MS = 400;

export const later = <Found extends Component>(load: () => Promise<{ default: Found }>): Found =>
  defineAsyncComponent({
    loader: () => load().then((found) => found.default),
    onError: (_, retry, fail, attempts) => (attempts < ATTEMPTS ? setTimeout(retry, FIRST_MS * 2 ** attempts) : fail()),
  }) as Found;
