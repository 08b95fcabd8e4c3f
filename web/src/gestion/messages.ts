export default {
  fr: { title: "Gestion" },
  en: { title: "Management" },
};
