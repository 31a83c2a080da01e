; Creatures: they come with the screen's right edge, and meet the hero.

.include "memory.inc"

COMES        = 18 ; columns from the screen's left edge to where creatures come
FAR_LEFT     = 80 ; pixels left of the screen where they are forgotten
FLAT_FRAMES  = 30
STOMP_POINTS = 1 ; 100
WALK_SPEED   = .lobyte(-8)
FLAG_LEFT    = 9 ; pixels: the flag hangs on the left of the pole

; Boxes, in pixels below the place of their owner.
BOX_TOP      = 10
BOX_BOTTOM   = 24
NEAR_X       = 11 ; less than this apart, boxes overlap
HEAD_SMALL   = 19 ; of the hero
HEAD_TALL    = 6
FEET         = 32
STOMP_DEPTH  = 20 ; his feet are above this when he stamps

.segment "CODE"

; Brings in the creatures whose column has come.
spawn_entities:
  ldy #0
  lda (entity_list), y
  cmp #$FF
  beq @done
  sta t0
  lda edge ; the column at the screen's left edge
  lsr
  lsr
  lsr
  lsr
  sta t1
  lda edge_page
  asl
  asl
  asl
  asl
  ora t1
  clc
  adc #COMES
  cmp t0
  bcc @done
  jsr spawn
  lda entity_list
  clc
  adc #4
  sta entity_list
  bcc spawn_entities
  inc entity_list + 1
  bne spawn_entities ; always
@done:
  rts

; Puts the first of the list into a free object; without one it does not come.
spawn:
  ldy #3
  lda (entity_list), y
  ldx #SPECIAL
  cmp #TYPE_FLAG
  beq @place
  ldx #1
: ldy obj_active, x
  beq @place
  inx
  cpx #SPECIAL
  bne :-
  rts
@place:
  sta obj_type, x
  ldy #0
  lda (entity_list), y
  pha
  asl
  asl
  asl
  asl
  iny
  ora (entity_list), y
  sta obj_x, x
  pla
  lsr
  lsr
  lsr
  lsr
  sta obj_x_page, x
  iny
  lda (entity_list), y
  sta obj_y, x
  sta obj_home, x
  lda #1
  sta obj_y_page, x
  sta obj_active, x
  lda #0
  sta obj_air, x
  sta obj_timer, x
  sta obj_x_sub, x
  sta obj_y_sub, x
  sta obj_y_frac, x
  sta obj_y_speed, x
  lda #LEFT
  sta obj_dir, x
  lda #WALK_SPEED
  sta obj_x_speed, x
  lda obj_type, x
  cmp #TYPE_FLAG
  bne :+
  lda obj_x, x
  sec
  sbc #FLAG_LEFT
  sta obj_x, x
  bcs :+
  dec obj_x_page, x
: rts

update_creatures:
  ldx #SPECIAL - 1
@object:
  lda obj_active, x
  beq @next
  lda obj_air, x
  cmp #FLAT
  beq @flat
  jsr act
  jsr leave_when_far
  lda obj_active, x
  beq @next
  lda player_state
  cmp #STATE_PLAY
  bne @next
  jsr meets_player
  bcc @next
  jsr meet
  jmp @next
@flat:
  dec obj_timer, x
  bne @next
  lda #0
  sta obj_active, x
@next:
  dex
  bne @object
  rts

; Forgets it when it is below the screen, or far left of it.
leave_when_far:
  lda obj_y_page, x
  cmp #2
  bcs @leave
  lda obj_x, x
  clc
  adc #FAR_LEFT
  sta t0
  lda obj_x_page, x
  adc #0
  sta t1
  lda t0
  cmp edge
  lda t1
  sbc edge_page
  bcs @done
@leave:
  lda #0
  sta obj_active, x
@done:
  rts

; A = how far its x is from the hero's, 255 at most.
player_distance:
  lda obj_x
  sec
  sbc obj_x, x
  tay
  lda obj_x_page
  sbc obj_x_page, x
  beq @right ; the hero is on its right
  cmp #$FF
  bne @far
  tya
  beq @far
  eor #$FF
  clc
  adc #1
  rts
@right:
  tya
  rts
@far:
  lda #$FF
  rts

; Carry is set if its box and the hero's overlap.
meets_player:
  jsr player_distance
  cmp #NEAR_X
  bcs @no
  lda obj_y_page
  cmp #1
  bne @no
  lda obj_y, x
  clc
  adc #BOX_TOP
  bcs @no ; below the screen
  sta t0
  lda obj_y ; feet below its top
  clc
  adc #FEET
  bcs :+
  cmp t0
  bcc @no
  beq @no
: lda obj_y, x ; head above its feet
  clc
  adc #BOX_BOTTOM
  bcs @yes
  sta t0
  lda #HEAD_SMALL
  ldy power
  beq :+
  lda #HEAD_TALL
: clc
  adc obj_y
  bcs @no
  cmp t0
  bcs @no
@yes:
  sec
  rts
@no:
  clc
  rts

; They meet: he stamps on it, or it harms him.
meet:
  lda obj_type, x
  cmp #TYPE_FROG
  beq @soft
  cmp #TYPE_BEETLE
  beq @soft
  cmp #TYPE_WASP
  beq @soft
  cmp #TYPE_CAREFUL
  bne @harm
@soft:
  lda obj_y_speed
  bmi @harm
  beq @harm
  lda obj_y, x
  clc
  adc #STOMP_DEPTH
  sta t0
  lda obj_y
  clc
  adc #FEET
  cmp t0
  bcs @harm
  lda #FLAT
  sta obj_air, x
  lda #FLAT_FRAMES
  sta obj_timer, x
  txa
  pha
  jsr bounce_player
  lda #STOMP_POINTS
  ldx #4
  jsr add_score
  pla
  tax
  rts
@harm:
  jmp hurt_player
