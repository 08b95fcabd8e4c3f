export default {
  fr: { title: "Siège" },
  en: { title: "Headquarters" },
};
