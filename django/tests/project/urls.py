from django.db import transaction
from django.http import HttpResponse
from django.urls import path

from haystream import BusinessMetric


@transaction.atomic
def press(request, action):
    """Pushes an event, and fails after that where it is told to."""
    BusinessMetric("business_metric").push({"action": action, "user": "Zoë"})
    try:
        with transaction.atomic():
            BusinessMetric("business_metric").push({"action": f"{action}, taken back"})
            raise KeyError(action)
    except KeyError:
        pass
    if "fail" in request.GET:
        raise ValueError(action)
    return HttpResponse(action)


urlpatterns = [
    path("books/<slug:slug>/", lambda request, slug: HttpResponse(slug), name="book"),
    path("press/<slug:action>/", press),
]
