"""Which commands are there? One row each; routes, OpenAPI entries and the contract tests follow from this list."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from api.cases import case_in_path, still_open, stream_of_case
from api.commands import Command, sale_of
from api.counts import BLINDLY, instants_of, permission_of
from api.tills import stream_of_till
from events.cases import CaseResolved
from events.catalogue import ProductDefined, ProductStocked, StoreDefined
from events.sales import SaleRecorded, SaleReturned, SaleVoided
from events.stock import DeliveryReceived, StockAdjusted, StockCounted
from events.tills import TillWaived
from schemas import requests as ask

STORE = "/api/v2/stores/{store_id}"


def _of_sale(request: Request, body: Any) -> Mapping[str, Any]:  # noqa: ANN401 - ReturnGoods or VoidSale
    # Reported at once, the customer is still there and can be refused; reported later, it has happened.
    return {"sale_id": sale_of(request), "enforce": body.occurred_at is None}


def _of_sku(request: Request, _body: object) -> Mapping[str, Any]:
    return {"sku": request.path_params["sku"]}


def _of_case(request: Request, _body: object) -> Mapping[str, Any]:
    return {"case_id": case_in_path(request)}


def _of_till(request: Request, _body: object) -> Mapping[str, Any]:
    return {"till_id": request.path_params["till_id"]}


RECORD_SALE = Command(
    path=f"{STORE}/sales",
    method="POST",
    body=ask.RecordSale,
    event=SaleRecorded,
    permission="sale.record",
    summary="Enregistrer une vente / Record a sale",
    id_field="sale_id",
)

COMMANDS = (
    RECORD_SALE,
    Command(
        path=f"{STORE}/sales/{{sale_id}}/returns",
        method="POST",
        body=ask.ReturnGoods,
        event=SaleReturned,
        permission="sale.return",
        summary="Reprendre des articles vendus / Take goods back",
        id_field="return_id",
        adds=_of_sale,
        subject="sale_id",
    ),
    Command(
        path=f"{STORE}/sales/{{sale_id}}/void",
        method="POST",
        body=ask.VoidSale,
        event=SaleVoided,
        permission="sale.void",
        summary="Annuler une vente / Void a sale",
        id_field="void_id",
        adds=_of_sale,
        subject="sale_id",
    ),
    Command(
        path=f"{STORE}/stock-changes",
        method="POST",
        body=ask.AdjustStock,
        event=StockAdjusted,
        permission="stock.adjust",
        summary="Corriger le stock / Adjust stock",
        id_field="change_id",
    ),
    Command(
        path=f"{STORE}/stock-counts",
        method="POST",
        body=ask.CountStock,
        event=StockCounted,
        permission=BLINDLY,
        needs=permission_of,
        instants=instants_of,
        summary="Compter le stock / Count stock",
        id_field="count_id",
        time_field="counted_at",
    ),
    Command(
        path=f"{STORE}/deliveries",
        method="POST",
        body=ask.ReceiveDelivery,
        event=DeliveryReceived,
        permission="delivery.record",
        summary="Recevoir une livraison / Receive a delivery",
        id_field="delivery_id",
    ),
    Command(
        path="/api/v2/cases/{case_id}/resolve",
        method="POST",
        body=ask.ResolveCase,
        event=CaseResolved,
        permission="case.resolve",
        summary="Régler un dossier d'écart / Resolve a discrepancy case",
        id_field="resolution_id",
        adds=_of_case,
        stream=stream_of_case,
        verify=still_open,
    ),
    Command(
        path=f"{STORE}/tills/{{till_id}}/waivers",
        method="POST",
        body=ask.WaiveNumbers,
        event=TillWaived,
        permission="till.waive",
        summary="Renoncer à des ventes dues par une caisse / Give up sales that a till owes",
        id_field="waiver_id",
        adds=_of_till,
        stream=stream_of_till,
    ),
    Command(
        path=STORE,
        method="PUT",
        body=ask.DefineStore,
        event=StoreDefined,
        permission="store.define",
        summary="Ouvrir ou décrire un magasin / Open or describe a store",
        opens_store=True,
    ),
    Command(
        path="/api/v2/products/{sku}",
        method="PUT",
        body=ask.DefineProduct,
        event=ProductDefined,
        permission="product.define",
        summary="Décrire un produit / Describe a product",
        adds=_of_sku,
    ),
    Command(
        path=f"{STORE}/products/{{sku}}",
        method="PUT",
        body=ask.StockProduct,
        event=ProductStocked,
        permission="product.stock",
        summary="Régler un produit d'un magasin / Set a product's limits in a store",
        adds=_of_sku,
    ),
)
