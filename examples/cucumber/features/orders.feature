Feature: Orders

  Scenario: An account sees its orders
    When I log in
    Then I see my orders

  Scenario: A receipt is printed
    When I log in
    Then I print a receipt alone

  Scenario: An order is cancelled
    When I log in
    Then I see my orders
