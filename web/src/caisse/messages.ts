export default {
  fr: { title: "Caisse" },
  en: { title: "Till" },
};
